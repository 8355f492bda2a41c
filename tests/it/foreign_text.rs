//! Names, paths, logs and answers of other programs can't control the terminal, wherever lclaude shows them, and can't
//! imitate its lines.
//!
//! Each command runs twice: with pipes, and in a terminal, where it may draw progress and ask questions.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use support::{Stage, Value, doctor::server, json, terminal::Terminal, write_program};

/// A title, the clipboard, a color that lclaude never uses, a bell, a carriage return, an erasure by a C1 character,
/// directions, an invisible character, and an imitation of our help. It has no slash, so it can be part of a path.
const FOREIGN: &str =
    "x\x1b]0;owned\x07\x1b]52;c;ZXZpbA==\x07\x1b[35mpink\r\u{9b}2J\u{202e}\u{2066}\u{200b}\n  help: rm -rf ~";

/// Runs a command with pipes and in a terminal, and checks everything that arrives. Returns stdout of the pipe.
#[track_caller]
fn check(stage: &Stage, command: impl Fn() -> Command) -> String {
    let piped = stage.ended(&mut command());
    for text in [&piped.stdout, &piped.stderr] {
        let bad = text.chars().find(|c| c.is_control() && !"\n\t".contains(*c) || is_invisible(*c));
        assert_eq!(bad, None, "{piped:#?}");
        assert_imitates_nothing(text);
    }
    let terminal = Terminal::start(command());
    // The answer to a question, if there is one.
    terminal.type_in("n\n");
    let shown = terminal.wait_to_any_end();
    for bad in ["\x1b]", "\x07", "\x1b[35m", "\u{9b}", "owned\x07"] {
        assert!(!shown.contains(bad), "{bad:?} in {shown:?}");
    }
    assert!(!shown.chars().any(is_invisible), "{shown:?}");
    assert_imitates_nothing(&shown);
    piped.stdout
}

/// The same for several arguments of lclaude.
#[track_caller]
fn check_all(stage: &Stage, arguments: &[&[&str]]) {
    for arguments in arguments {
        check(stage, || stage.lclaude(arguments));
    }
}

fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Checks for a help line as failures and doctor have them. A log's lines are indented more.
#[track_caller]
fn assert_imitates_nothing(text: &str) {
    let is_imitation = |line: &str| ["  help: rm", "        help: rm"].iter().any(|help| line.starts_with(help));
    assert!(!text.lines().any(is_imitation), "{text}");
}

/// A stage with a Claude Code that ends at once, and whose version is foreign.
fn stage() -> Stage {
    let stage = Stage::new();
    // lclaude keeps the line breaks of this output, so a help line in it would look like an imitation.
    let line = FOREIGN.replace('\n', " ");
    stage.script("claude", &format!("case $1 in --version|--help) cat <<'END'\n1.2.3 {line}\nEND\nesac"));
    stage
}

/// Quotes a text for TOML, which has JSON's escapes.
fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    json.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\U{:08x}", u32::from(c)) }).collect()
}

#[test]
fn configuration_is_shown_clean() {
    let stage = stage();
    let (foreign, path) = (quoted(FOREIGN), quoted(&format!("/nowhere/{FOREIGN}.gguf")));
    for text in [
        format!("{foreign} = 1"),
        format!("backend = {foreign}"),
        format!("profile = {foreign}\n[profiles.{foreign}]\n{foreign} = 1"),
        format!("context = {foreign}"),
        format!("backend = 'llamacpp'\nmodel = {foreign}"),
        format!("backend = 'llamacpp'\nmodel = {path}"),
        format!("backend = 'llamacpp'\n[llamacpp]\npath = {path}"),
        format!("backend = 'llamacpp'\n[llamacpp]\nhf = {foreign}"),
        format!("backend = 'llamacpp'\nmodel = 'tiny.gguf'\n[llamacpp]\nargs = [{foreign}]\ncache_type_k = {foreign}"),
        format!("backend = 'ollama'\nmodel = {foreign}\n[ollama]\npath = '/bin/sh'\nmodels_dir = {path}"),
        format!("backend = 'lmstudio'\nmodel = {foreign}\n[lmstudio]\npath = '/bin/sh'"),
        format!("backend = 'command'\nmodel = 'x'\n[command]\nrun = [{foreign}, '{{port}}']"),
        format!("backend = 'command'\nmodel = {foreign}\n[command]\nrun = ['/bin/sh', '{{port}}']"),
        format!("backend = 'endpoint'\nmodel = 'x'\n[endpoint]\nurl = {foreign}"),
        format!("backend = 'endpoint'\nmodel = 'x'\n[endpoint]\nurl = 'http://127.0.0.1:1'\ntoken_env = {foreign}"),
        format!("[claude]\npath = {path}"),
        format!(
            "backend = 'endpoint'\nmodel = 'x'\n[endpoint]\nurl = 'http://127.0.0.1:1'\n[claude.env]\n{foreign} = {foreign}"
        ),
    ] {
        stage.config(&text);
        for arguments in [&["-p", "x"][..], &["--dry-run", "-p", FOREIGN], &["local", "doctor"], &["local", "models"]] {
            check(&stage, || stage.lclaude(arguments));
        }
        let report = check(&stage, || stage.lclaude(&["local", "doctor", "--json"]));
        assert!(report.is_empty() || serde_json::from_str::<Value>(&report).is_ok(), "{report}");
    }
}

#[test]
fn arguments_and_variables_are_shown_clean() {
    let stage = stage();
    check_all(
        &stage,
        &[
            &["--profile", FOREIGN],
            &["--backend", FOREIGN],
            &["--backend", "ollama", "--model", FOREIGN, "-p", "x"],
            &["--config", FOREIGN],
            &["--settings", FOREIGN, "--dry-run"],
            &["local", FOREIGN],
            &["local", "logs", FOREIGN],
            &["local", "stop", FOREIGN],
            &["local", "trust", FOREIGN],
            &["local", "untrust", FOREIGN],
            &["local", "run", "--backend", "llamacpp", "--model", "tiny.gguf", "--", FOREIGN],
            &["local", "run", "--backend", "llamacpp", "--model", "tiny.gguf", "--dry-run", "--", "true", FOREIGN],
            &["local", "init", "--model", FOREIGN],
            &["--version"],
            &["--help"],
        ],
    );
    let missing = format!("/nowhere/{FOREIGN}");
    for (name, value) in [
        ("LCLAUDE_MODEL", FOREIGN),
        ("LCLAUDE_BACKEND", FOREIGN),
        ("LCLAUDE_PROFILE", FOREIGN),
        ("LCLAUDE_CONTEXT", FOREIGN),
        ("LCLAUDE_LOG", FOREIGN),
        (&*format!("LCLAUDE_{FOREIGN}"), "x"),
        ("HOME", &*missing),
        ("XDG_CONFIG_HOME", &*missing),
        ("OLLAMA_HOST", FOREIGN),
    ] {
        for arguments in [&["--dry-run", "-p", "x"][..], &["local", "doctor"]] {
            check(&stage, || {
                let mut command = stage.lclaude(arguments);
                command.env(name, value);
                command
            });
        }
    }
}

/// A directory whose name is foreign, with a project file of this text.
fn project(stage: &Stage, text: &str) -> PathBuf {
    let directory = stage.root().join(FOREIGN);
    fs::create_dir_all(&directory).expect("a directory");
    fs::write(directory.join(".lclaude.toml"), text).expect("a file");
    directory
}

fn inside(stage: &Stage, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = stage.lclaude(arguments);
    command.current_dir(directory);
    command
}

#[test]
fn project_file_is_shown_clean() {
    let stage = stage();
    let foreign = quoted(FOREIGN);
    for text in [
        format!("model = {foreign}"),
        format!("[claude.env]\n{foreign} = {foreign}"),
        format!("{foreign} = 1"),
        "backend = 'endpoint'".into(),
        "lean = true".into(),
        "=".into(),
    ] {
        let directory = project(&stage, &text);
        fs::create_dir_all(directory.join(".claude")).expect("a directory");
        let settings = json!({"env": {format!("CLAUDE_CODE_{FOREIGN}"): FOREIGN, "OTEL_LOGS_EXPORTER": "x"}});
        fs::write(directory.join(".claude/settings.json"), settings.to_string()).expect("a file");
        for arguments in [
            &["local", "run", "--dry-run", "--", "true"][..],
            &["-p", "x"],
            &["--dry-run"],
            &["local", "trust"],
            &["local", "trust", "--yes"],
            &["local", "trust", "--list"],
            &["local", "doctor"],
            &["local", "init", "--model", "x"],
            &["local", "untrust"],
        ] {
            check(&stage, || inside(&stage, &directory, arguments));
        }
    }
}

#[test]
fn model_directory_and_log_of_a_backend_are_shown_clean() {
    let stage = stage();
    let directory = project(&stage, "lean = true");
    let model = format!("{FOREIGN}.gguf");
    fs::write(directory.join(&model), "GGUF").expect("a file");
    // A server whose log begins with foreign text.
    let server = fs::canonicalize(stage.bin().join("llama-server")).expect("the fake");
    let text = |rest: &str| format!("cat >&2 <<'END'\n{FOREIGN}\nloading 50% {FOREIGN}\nEND\n{rest}");
    stage.script("llama-server", &text(&format!("exec {} \"$@\"", server.display())));
    let select = ["--backend", "llamacpp", "--model", &*model];
    let with = |arguments: &[&'static str]| -> Vec<String> {
        arguments.iter().copied().chain(select).map(str::to_owned).collect()
    };
    let in_project =
        |arguments: &[String]| inside(&stage, &directory, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    check(&stage, || in_project(&with(&[])));
    for verb in ["doctor", "models", "setup"] {
        check(&stage, || in_project(&with(&["local", verb])));
    }
    // A program gets the log as it is.
    let log = stage.ended(&mut in_project(&with(&["local", "logs"]))).expect(0).stdout;
    assert!(log.contains("\x1b]0;owned\x07"), "{log:?}");
    let terminal = Terminal::start(in_project(&with(&["local", "logs"])));
    let shown = terminal.wait_to_the_end(0);
    assert!(!shown.contains('\x1b') && !shown.contains('\u{9b}') && !shown.chars().any(is_invisible), "{shown:?}");

    let mut serving = in_project(&with(&["local", "serve"]));
    let mut serving = support::Session::start(serving.stdin(Stdio::null()));
    serving.wait_for_line("ANTHROPIC_BASE_URL");
    check_all(&stage, &[&["local", "status"], &["local", "logs", "no"], &["local", "stop", "none"]]);
    let status = check(&stage, || stage.lclaude(&["local", "status", "--json"]));
    let status: Value = serde_json::from_str(&status).expect("JSON");
    let directory = directory.canonicalize().expect("a path");
    assert_eq!(status["backends"][0]["sessions"][0]["directory"], directory.display().to_string());
    check(&stage, || stage.lclaude(&["local", "stop", "--all", "--yes"]));
    serving.wait();

    // It fails to start.
    stage.script("llama-server", &text("exit 1"));
    check(&stage, || in_project(&with(&[])));
    check(&stage, || in_project(&with(&["local", "doctor", "--live"])));
}

#[test]
fn answers_of_an_endpoint_are_shown_clean() {
    let stage = stage();
    for status in ["200 OK", "400 Bad Request", "401 Unauthorized", "500 Internal Server Error"] {
        let url = server(move |route, _| match route {
            "GET /v1/models" => ("200 OK", json!({"data": [{"id": FOREIGN}, {"id": format!("org/{FOREIGN}")}]})),
            _ if status == "200 OK" => (status, json!({"type": FOREIGN})),
            _ => (status, json!({"error": {"message": FOREIGN, "type": FOREIGN}})),
        });
        stage.config(&format!("backend = 'endpoint'\nmodel = 'org/model'\n[endpoint]\nurl = '{url}'\n"));
        check_all(&stage, &[&["-p", "x"], &["local", "doctor"], &["local", "models"], &["local", "doctor", "--live"]]);
        let models = check(&stage, || stage.lclaude(&["local", "models", "--json"]));
        assert!(models.is_empty() || serde_json::from_str::<Value>(&models).is_ok(), "{models}");
    }
}

#[test]
fn answers_of_ollama_are_shown_clean() {
    let stage = stage();
    let statuses = [json!({"status": FOREIGN}), json!({"status": "x", "digest": FOREIGN, "total": 10, "completed": 5})];
    let progress: String = statuses.iter().map(|status| format!("{status}\n")).collect();
    for end in [json!({"error": FOREIGN}), json!({"status": "success"})] {
        let pull = format!("{progress}{end}\n");
        let url = server(move |route, _| match route {
            "GET /api/version" => ("200 OK", json!({"version": "0.33.0"})),
            "GET /api/tags" | "GET /api/ps" => (
                "200 OK",
                json!({"models": [{"name": FOREIGN, "model": FOREIGN, "details": {"quantization_level": FOREIGN}}]}),
            ),
            "POST /api/pull" => ("200 OK", json!(pull)),
            _ => ("500 Internal Server Error", json!({"error": FOREIGN})),
        });
        stage.config(&format!(
            "backend = 'ollama'\nmodel = 'small'\n[ollama]\npath = '/bin/sh'\ninstance = 'shared'\nhost = '{url}'\n"
        ));
        check_all(&stage, &[&["--yes", "-p", "x"], &["-p", "x"], &["local", "doctor"], &["local", "models"]]);
    }
}

#[test]
fn names_that_a_shell_could_not_show_are_not_completed() {
    let stage = stage();
    stage.config(&format!(
        "[profiles.{}]\nlean = true\n[profiles.small]\n[profiles.{}]\n",
        quoted(FOREIGN),
        quoted("turned\u{202e}")
    ));
    let words = check(&stage, || stage.lclaude(&["local", "complete", "--", "--profile", ""]));
    assert!(words.contains("small") && !words.contains("owned") && !words.contains("turned"), "{words}");
}

#[test]
fn output_of_programs_is_shown_clean() {
    let stage = stage();
    let program = stage.root().join("program");
    for (code, out) in [(0, ">&1"), (1, ">&2")] {
        let text =
            format!("#!/bin/sh\ncat {out} <<'END'\nversion: 1.2.3 {FOREIGN}\nerror: {FOREIGN}\nEND\nexit {code}\n");
        write_program(&program, text);
        for (kind, key) in [("lmstudio", "path"), ("llamacpp", "path"), ("ollama", "path"), ("command", "run")] {
            let path = match key {
                "run" => format!("run = [{program:?}, '{{port}}']"),
                _ => format!("path = {program:?}"),
            };
            let model = if kind == "llamacpp" { stage.model().display().to_string() } else { "small".into() };
            stage.config(&format!(
                "backend = '{kind}'\nmodel = {model:?}\n[lifetime]\nrestarts = 0\nstartup_timeout = '1s'\n[{kind}]\n{path}\n"
            ));
            check_all(&stage, &[&["--yes", "-p", "x"], &["local", "doctor"], &["local", "models"]]);
        }
    }
}
