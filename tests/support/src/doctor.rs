//! `lclaude local doctor` on a stage: its report, the same after a command was run, and illnesses as a table.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::Stdio,
    thread,
};

use lclaude_fakes::scripted_model::{self, Script};

use super::{Ended, Stage, Value, lclaude, messages::record, write_program};

/// A configuration with which nothing is wrong on [`Stage::well`].
pub const WELL: &str = "backend = \"llamacpp\"\nmodel = \"@PROJECT/tiny.gguf\"\n";

/// Makes a stage that is ill.
pub type Ill = fn() -> Stage;

/// One way to be ill. In every text HOME, PROJECT, BIN, @RUN and @ROOT stand for the stage's directories.
pub struct Illness {
    pub name: &'static str,
    /// A stage that has it.
    pub ill: Ill,
    /// Its line: area, name and state. What else it says is recorded.
    pub line: (&'static str, &'static str, &'static str),
    /// A `help:` line as it stands there. It is run in a shell, and from that shell doctor is to find that line well.
    pub mend: &'static str,
    /// What an editor makes of the file it is started with.
    pub edited: &'static str,
}

impl Stage {
    /// With which doctor is content; `EDITOR` writes what it is told to.
    pub fn well() -> Self {
        let stage = Self::new();
        // Whole, since doctor looks into it.
        scripted_model::write(&stage.model(), &Script::default()).expect("a model");
        stage.with_editor();
        stage.config(&stage.filled(WELL));
        stage
    }

    /// The same without these programs.
    pub fn well_without(programs: &[&str]) -> Self {
        let stage = Self::well();
        programs.iter().for_each(|program| fs::remove_file(stage.bin().join(program)).expect("it was there"));
        stage
    }

    pub fn with_editor(&self) {
        self.script("editor", "printf '%s' \"$EDITED\" > \"$1\"");
    }

    /// A program of the test's own on PATH.
    pub fn script(&self, name: &str, lines: &str) -> &Self {
        let place = self.bin().join(name);
        let _ = fs::remove_file(&place);
        write_program(&place, format!("#!/bin/sh\n{lines}\n").as_bytes());
        self
    }

    /// `installer` on PATH installs a fake as `program`.
    pub fn installer(&self, installer: &str, fake: &str, program: &str) -> &Self {
        let kept = self.root().join(fake);
        self.install(fake, &kept);
        self.script(installer, &format!("ln -sf {} {}", kept.display(), self.bin().join(program).display()))
    }

    pub fn filled(&self, text: &str) -> String {
        let places = [
            ("@HOME", self.home()),
            ("@PROJECT", self.project()),
            ("@BIN", self.bin()),
            ("@RUN", self.root().join("run")),
            ("@ROOT", self.root().to_owned()),
        ];
        places.iter().fold(text.to_owned(), |text, (word, place)| text.replace(word, &place.display().to_string()))
    }

    /// What doctor says with `--json`, in a shell that has run `first`.
    pub fn doctor_after(&self, first: &str, edited: &str, arguments: &str) -> (Ended, Value) {
        let mut shell = self.command("/bin/sh");
        shell.env("EDITOR", self.bin().join("editor")).env("EDITED", self.filled(edited)).stdin(Stdio::null());
        shell.arg("-c").arg(format!("{first}\nexec {} local doctor --json {arguments}", lclaude().display()));
        let ended = self.ended(&mut shell);
        // What was run before may have said something too.
        let start = ended.stdout.find("{\n  \"format\"").unwrap_or_else(|| panic!("no report: {ended:#?}"));
        let report = serde_json::from_str(&ended.stdout[start..]).unwrap_or_else(|error| panic!("{error}: {ended:#?}"));
        (ended, report)
    }

    pub fn doctor(&self, arguments: &str) -> (Ended, Value) {
        self.doctor_after("", "", arguments)
    }
}

/// A line of the report.
#[track_caller]
pub fn line<'a>(report: &'a Value, area: &str, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("a list of checks");
    let found = checks.iter().find(|check| check["area"] == area && check["name"] == name);
    found.unwrap_or_else(|| panic!("no {area}, {name} in {report:#}"))
}

/// All that a line says.
pub fn told(check: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut told = format!("{}, {}: {}\n", text(&check["area"]), text(&check["name"]), text(&check["state"]));
    for key in ["found", "why", "log", "help"] {
        let lines = match &check[key] {
            Value::Null => continue,
            Value::Array(lines) => lines.iter().map(text).collect(),
            one => vec![text(one)],
        };
        lines.iter().for_each(|line| told.push_str(&format!("  {key}: {line}\n")));
    }
    told
}

/// Area and name together name a line.
#[track_caller]
pub fn assert_unique(report: &Value) {
    let checks = report["checks"].as_array().expect("a list");
    let mut names: Vec<String> = checks.iter().map(|check| format!("{} {}", check["area"], check["name"])).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "{report:#}");
}

/// A server of the test's own: `answer` gets `METHOD /path` and the body of a request, and says status and body.
pub fn server(answer: impl Fn(&str, &str) -> (&'static str, Value) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
            let (mut first, mut length) = (String::new(), 0);
            let _ = reader.read_line(&mut first);
            for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
                if let Some(number) = line.to_lowercase().strip_prefix("content-length: ") {
                    length = number.parse().expect("a number");
                }
            }
            let mut asked = String::new();
            let _ = reader.take(length).read_to_string(&mut asked);
            let route = first.split([' ', '?']).take(2).collect::<Vec<_>>().join(" ");
            let (status, body) = answer(&route, &asked);
            let body = body.to_string();
            let head = format!("Content-Length: {}\r\nConnection: close", body.len());
            let _ = write!(stream, "HTTP/1.1 {status}\r\n{head}\r\n\r\n{body}");
        }
    });
    url
}

/// Everything that is not as it should be, for the message of an assertion.
pub fn complaints(report: &Value) -> Vec<&Value> {
    report["checks"].as_array().into_iter().flatten().filter(|check| check["state"] != "ok").collect()
}

/// Each illness is found, named, and mended by the command that stands beside it.
#[track_caller]
pub fn cure(illnesses: &[Illness], arguments: &str) {
    for Illness { name, ill, line: (area, check, state), mend, edited } in illnesses {
        let stage = ill();
        let (ended, report) = stage.doctor(arguments);
        let found = line(&report, area, check);
        assert_eq!(found["state"], *state, "{name}: {found:#}");
        assert_eq!(ended.code, Some(i32::from(*state == "failure")), "{name}: {:#?}", complaints(&report));
        record(name, told(found));
        let mend = stage.filled(mend);
        let helps = found["help"].as_array().expect("a list");
        assert!(helps.iter().any(|help| *help == *mend), "{name}: no {mend:?} in {found:#}");
        let (ended, report) = stage.doctor_after(&mend, edited, arguments);
        let mended = line(&report, area, check);
        assert_eq!(mended["state"], "ok", "{name} is not mended by {mend}: {mended:#}");
        assert_eq!(ended.code, Some(0), "{name}: after {mend}: {:#?}", complaints(&report));
    }
}

/// The command that opens the user's configuration.
pub const EDIT: &str = "${EDITOR:-vi} @HOME/.config/lclaude/config.toml";

/// A file on the stage, by its path from there.
pub fn write(stage: &Stage, file: &str, content: &str) {
    let file = stage.root().join(file);
    fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
    fs::write(file, stage.filled(content)).expect("a file");
}

/// A stage that is well but for its configuration.
pub fn configured(text: &str) -> Stage {
    let stage = Stage::well();
    stage.config(&stage.filled(text));
    stage
}

/// A stage that is well but for one variable.
pub fn with(name: &str, value: &str) -> Stage {
    let mut stage = Stage::well();
    let value = stage.filled(value);
    stage.set(name, value);
    stage
}
