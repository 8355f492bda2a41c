//! Runs `lclaude local doctor` on a stage, and checks tables of problems and their fixes.

use std::{fs, os::unix::fs::PermissionsExt, process::Stdio};

use lclaude_fakes::scripted_model::{self, Script};

use super::{Ended, Stage, Value, lclaude, messages::record, server, write_program};

/// The configuration of [`Stage::healthy`], with which doctor finds no problem.
pub const HEALTHY: &str = "backend = \"llamacpp\"\nmodel = \"@PROJECT/tiny.gguf\"\n";

/// Creates a stage with a problem.
pub type MakeStage = fn() -> Stage;

/// A problem that doctor must find. In all texts, @HOME, @PROJECT, @BIN, @RUN and @ROOT stand for the stage's directories.
pub struct Problem {
    pub name: &'static str,
    /// Creates a stage that has the problem.
    pub stage: MakeStage,
    /// The check that finds it: area, name and state. The rest of its text is in the snapshot.
    pub check: (&'static str, &'static str, &'static str),
    /// One of its `help` lines. After it is run in a shell, doctor in the same shell must report the check as ok.
    pub fix: &'static str,
    /// The text that `$EDITOR` writes into the file that it opens.
    pub edited: &'static str,
}

impl Stage {
    /// Creates a stage on which doctor finds no problem, with a scripted `EDITOR`.
    pub fn healthy() -> Self {
        let stage = Self::new();
        // A complete file, since doctor reads it.
        scripted_model::write(&stage.model(), &Script::default()).expect("a model");
        stage.install_editor();
        stage.config(&stage.expand_paths(HEALTHY));
        stage
    }

    /// Like [`Stage::healthy`], without these programs.
    pub fn healthy_without(programs: &[&str]) -> Self {
        let stage = Self::healthy();
        programs.iter().for_each(|program| fs::remove_file(stage.bin().join(program)).expect("the program existed"));
        stage
    }

    /// Installs an editor that writes `$EDITED` into the file that it opens.
    pub fn install_editor(&self) {
        self.script("editor", "printf '%s' \"$EDITED\" > \"$1\"");
    }

    /// Installs a shell script on PATH.
    pub fn script(&self, name: &str, lines: &str) -> &Self {
        let place = self.bin().join(name);
        let _ = fs::remove_file(&place);
        write_program(&place, format!("#!/bin/sh\n{lines}\n"));
        self
    }

    /// Installs a fake installer on PATH, which installs a fake as `program`.
    pub fn installer(&self, installer: &str, fake: &str, program: &str) -> &Self {
        let kept = self.root().join(fake);
        self.install(fake, &kept);
        self.script(installer, &format!("ln -sf {} {}", kept.display(), self.bin().join(program).display()))
    }

    /// Replaces @HOME, @PROJECT, @BIN, @RUN and @ROOT by the stage's directories.
    pub fn expand_paths(&self, text: &str) -> String {
        let places = [
            ("@HOME", self.home()),
            ("@PROJECT", self.project()),
            ("@BIN", self.bin()),
            ("@RUN", self.root().join("run")),
            ("@ROOT", self.root().to_owned()),
        ];
        places.iter().fold(text.to_owned(), |text, (word, place)| text.replace(word, &place.display().to_string()))
    }

    /// Runs `lclaude local doctor --json` in a shell after `first`, and returns its output and report.
    pub fn doctor_after(&self, first: &str, edited: &str, arguments: &str) -> (Ended, Value) {
        let mut shell = self.command("/bin/sh");
        shell.env("EDITOR", self.bin().join("editor")).env("EDITED", self.expand_paths(edited)).stdin(Stdio::null());
        shell.arg("-c").arg(format!("{first}\nexec {} local doctor --json {arguments}", lclaude().display()));
        let ended = self.ended(&mut shell);
        // The first command may have printed something too.
        let start = ended.stdout.find("{\n  \"format\"").unwrap_or_else(|| panic!("no report: {ended:#?}"));
        let report = serde_json::from_str(&ended.stdout[start..]).unwrap_or_else(|error| panic!("{error}: {ended:#?}"));
        (ended, report)
    }

    /// Runs `lclaude local doctor --json` and returns its output and report.
    pub fn doctor(&self, arguments: &str) -> (Ended, Value) {
        self.doctor_after("", "", arguments)
    }
}

/// Returns a check of the report.
#[track_caller]
pub fn find_check<'a>(report: &'a Value, area: &str, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("a list of checks");
    let found = checks.iter().find(|check| check["area"] == area && check["name"] == name);
    found.unwrap_or_else(|| panic!("no {area}, {name} in {report:#}"))
}

/// Returns all text of a check.
pub fn check_text(check: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut all = format!("{}, {}: {}\n", text(&check["area"]), text(&check["name"]), text(&check["state"]));
    for key in ["found", "why", "log", "help"] {
        let lines = match &check[key] {
            Value::Null => continue,
            Value::Array(lines) => lines.iter().map(text).collect(),
            one => vec![text(one)],
        };
        lines.iter().for_each(|line| all.push_str(&format!("  {key}: {line}\n")));
    }
    all
}

/// Asserts that no two checks have the same area and name.
#[track_caller]
pub fn assert_unique_checks(report: &Value) {
    let checks = report["checks"].as_array().expect("a list");
    let mut names: Vec<String> = checks.iter().map(|check| format!("{} {}", check["area"], check["name"])).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "{report:#}");
}

/// Starts a server and returns its URL. `answer` gets `METHOD /path` and the body of a request, and returns status and body.
/// A string is sent as text.
pub fn server(answer: impl Fn(&str, &str) -> (&'static str, Value) + Send + 'static) -> String {
    server::start(move |request| {
        let (status, body) = answer(&request.route(), &String::from_utf8_lossy(&request.body));
        (status, body.as_str().map_or_else(|| body.to_string(), str::to_owned))
    })
}

/// Returns all checks that are not ok.
pub fn problems(report: &Value) -> Vec<&Value> {
    report["checks"].as_array().into_iter().flatten().filter(|check| check["state"] != "ok").collect()
}

/// Asserts that doctor finds each problem and that its suggested command fixes it.
#[track_caller]
pub fn assert_fixes(problems_to_fix: &[Problem], arguments: &str) {
    for Problem { name, stage, check: (area, check, state), fix, edited } in problems_to_fix {
        let stage = stage();
        let (ended, report) = stage.doctor(arguments);
        let found = find_check(&report, area, check);
        assert_eq!(found["state"], *state, "{name}: {found:#}");
        assert_eq!(ended.code, Some(i32::from(*state == "failure")), "{name}: {:#?}", problems(&report));
        record(name, check_text(found));
        let fix = stage.expand_paths(fix);
        let helps = found["help"].as_array().expect("a list");
        assert!(helps.iter().any(|help| *help == *fix), "{name}: no {fix:?} in {found:#}");
        let (ended, report) = stage.doctor_after(&fix, edited, arguments);
        let fixed = find_check(&report, area, check);
        assert_eq!(fixed["state"], "ok", "{name} is not fixed by {fix}: {fixed:#}");
        assert_eq!(ended.code, Some(0), "{name}: after {fix}: {:#?}", problems(&report));
    }
}

/// The command that opens the user's configuration.
pub const EDIT_CONFIG: &str = "${EDITOR:-vi} @HOME/.config/lclaude/config.toml";

/// Writes a file. `file` is relative to the stage's root.
pub fn write_file(stage: &Stage, file: &str, content: &str) {
    let file = stage.root().join(file);
    fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
    fs::write(file, stage.expand_paths(content)).expect("a file");
}

/// Returns a healthy stage on which `program` is a shell script, and `installer` installs the fake instead.
pub fn repairable(program: &str, script: &str, installer: &str) -> Stage {
    let stage = Stage::healthy();
    stage.script(program, script);
    stage.installer(installer, &format!("fake-{program}"), program);
    stage
}

/// Returns a healthy stage with this configuration.
pub fn configured(text: &str) -> Stage {
    let stage = Stage::healthy();
    stage.config(&stage.expand_paths(text));
    stage
}

/// Returns a healthy stage with this configuration, and with a shell script in its root that can't be executed.
pub fn not_executable(text: &str, name: &str, script: &str) -> Stage {
    let stage = configured(text);
    stage.script(name, script);
    let place = stage.root().join(name);
    fs::rename(stage.bin().join(name), &place).expect("moved");
    fs::set_permissions(place, fs::Permissions::from_mode(0o644)).expect("closed");
    stage
}

/// Returns a healthy stage with this variable set.
pub fn with_variable(name: &str, value: &str) -> Stage {
    let mut stage = Stage::healthy();
    let value = stage.expand_paths(value);
    stage.set(name, value);
    stage
}
