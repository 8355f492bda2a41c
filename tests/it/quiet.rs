//! `--quiet` leaves out lclaude's own notes and progress, and nothing else.

use std::process::{Command, Stdio};

use support::{Ended, Session, Stage, finish, messages, server, terminal::Terminal};

fn ended(stage: &Stage, command: &mut Command) -> Ended {
    let session = Session::start(command.stdin(Stdio::null()));
    finish(session, &stage.events.next("claude"))
}

#[test]
fn quiet_session_prints_nothing_of_its_own() {
    let stage = Stage::new();
    // The choice of a backend, the start, and a lean session are notes.
    let arguments = ["--model", "tiny.gguf", "--lean", "-p", "x"];
    let said = ended(&stage, &mut stage.lclaude(&arguments)).stderr;
    for note in ["lclaude: using llamacpp", "lclaude: starting", "lclaude: lean"] {
        assert!(said.contains(note), "{said}");
    }
    for quiet in ["-q", "--quiet"] {
        let said = ended(&stage, stage.lclaude(&[quiet]).args(arguments)).stderr;
        assert_eq!(said, "", "{quiet}");
    }
}

#[test]
fn quiet_terminal_shows_no_progress() {
    let stage = Stage::new();
    let start = |options: &[&str]| {
        let arguments = [options, &["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"]].concat();
        let terminal = Terminal::start(stage.lclaude(&arguments));
        stage.events.next("llama-server");
        stage.events.next("claude").send(support::json!({"do": "exit", "code": 0}));
        terminal.wait_to_the_end(0)
    };
    let quiet = start(&["-q"]);
    assert!(!quiet.contains("lclaude"), "{quiet:?}");
    // What was left out is printed the first time that it may be.
    let loud = start(&[]);
    assert!(loud.contains("lclaude: left out tools"), "{loud:?}");
}

#[test]
fn warnings_failures_and_questions_stay() {
    messages!();
    let mut stage = Stage::new();
    // Code that leaves this machine is a warning.
    let proxy = server::start(|request| match request.route().as_str() {
        "GET http://models.invalid/v1/models" => ("200 OK", "{\"data\": [{\"id\": \"m\"}]}".to_owned()),
        "POST http://models.invalid/v1/messages" => ("400 Bad Request", "{}".into()),
        _ => ("404 Not Found", String::new()),
    });
    stage.set("HTTP_PROXY", &proxy).set("LCLAUDE_TYPO", "1");
    let arguments = ["-q", "--url", "http://models.invalid", "--context", "40000", "-p", "x"];
    let said = ended(&stage, &mut stage.lclaude(&arguments)).record().stderr;
    for warning in ["your code is sent to http://models.invalid", "warning: ", "LCLAUDE_TYPO"] {
        assert!(said.contains(warning), "{said}");
    }
    stage.unset("HTTP_PROXY").unset("LCLAUDE_TYPO");
    stage.output(&["-q", "--backend", "llamacpp", "--model", "missing.gguf", "-p", "x"]).expect_failure(64);
    stage.output(&["local", "env", "-q", "--backend", "llamacpp", "--model", "tiny.gguf"]).expect_failure(69);
    // A question.
    std::fs::write(stage.project().join(".lclaude.toml"), "model = 'x'\n").expect("a file");
    let mut terminal = Terminal::start(stage.lclaude(&["-q", "local", "init", "--model", "tiny"]));
    terminal.wait_for("Write it? [y/N] ");
    terminal.type_in("n\n");
    terminal.wait_to_the_end(64);
}

#[test]
fn version_keeps_its_short_option() {
    let stage = Stage::new();
    assert!(stage.output(&["-v"]).expect(0).stdout.contains("(lclaude)"));
}
