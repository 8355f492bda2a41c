//! `lclaude local serve` keeps a backend running for other programs and prints how to reach it.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use support::{Fake, Session, Stage, Value, finish, kill, messages, port, terminal::Terminal};

fn serve(stage: &Stage, options: &[&str]) -> Command {
    stage.lclaude(&[&["local", "serve", "--backend", "llamacpp", "--model", "tiny.gguf"], options].concat())
}

/// Starts serve, and waits until it has printed the environment.
fn serving(stage: &Stage) -> (Session, Fake) {
    let mut session = Session::start(&mut serve(stage, &[]));
    let backend = stage.events.next("llama-server");
    session.wait_for_line("unset ");
    (session, backend)
}

#[test]
fn serve_prints_the_environment_and_runs_until_a_signal() {
    messages!();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let stage = Stage::new();
        let (mut session, backend) = serving(&stage);
        assert!(session.is_running() && !backend.is_gone());
        session.signal(signal);
        let ended = session.wait().expect(code).expect_signal(signal);
        assert!(backend.is_gone());
        stage.assert_nothing_left();
        let line = |name: &str, value: &str| format!("export {name}='{value}';\n");
        let url = format!("http://127.0.0.1:{}", port(&backend));
        let token = &backend.env["LLAMA_API_KEY"];
        assert!(ended.stdout.contains(&line("ANTHROPIC_BASE_URL", &url)), "{}", ended.stdout);
        assert!(ended.stdout.contains(&line("ANTHROPIC_AUTH_TOKEN", token)), "{}", ended.stdout);
        // Variables that the reading shell may have inherited are unset.
        assert!(ended.stdout.contains(" ANTHROPIC_API_KEY "), "{}", ended.stdout);
        assert!(!ended.stderr.contains(token), "{}", ended.stderr);
        messages::record(format!("exit {code}"), ended.stderr);
    }
}

#[test]
fn json_output_is_one_object() {
    let mut stage = Stage::new();
    stage.set("OTEL_MINE", "x");
    let mut session = Session::start(&mut serve(&stage, &["--json"]));
    let backend = stage.events.next("llama-server");
    session.wait_for_line("}");
    session.signal(Signal::TERM);
    let told: Value = serde_json::from_str(&session.wait().expect(143).stdout).expect("JSON");
    let url = format!("http://127.0.0.1:{}", port(&backend));
    assert_eq!((&told["url"], &told["env"]["ANTHROPIC_BASE_URL"]), (&url.clone().into(), &url.into()));
    assert_eq!(told["token"], backend.env["LLAMA_API_KEY"]);
    assert_eq!(told["env"]["ANTHROPIC_AUTH_TOKEN"], told["token"]);
    assert_eq!((&told["models"], &told["context"]), (&vec!["tiny"].into(), &65_536.into()));
    let removed = told["removed"].as_array().expect("a list");
    assert!(["ANTHROPIC_API_KEY", "OTEL_MINE"].into_iter().all(|name| removed.contains(&name.into())), "{told:#}");
    assert!(!removed.contains(&"CLAUDE_CODE_DISABLE_THINKING".into()), "it is set: {told:#}");
}

#[test]
fn sessions_share_the_served_backend() {
    let stage = Stage::new();
    let (session, backend) = serving(&stage);
    let (other, claude) = stage.joining();
    assert_eq!(claude.env["ANTHROPIC_BASE_URL"], format!("http://127.0.0.1:{}", port(&backend)));
    finish(other, &claude);
    assert!(!backend.is_gone());
    session.signal(Signal::TERM);
    session.wait().expect(143);
    assert!(backend.is_gone());
}

#[test]
fn closed_stdout_is_not_an_error() {
    let stage = Stage::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = serve(&stage, &[]);
    let mut serving = command.stdout(writer).stderr(Stdio::piped()).spawn().expect("it runs");
    let backend = stage.events.next("llama-server");
    let mut said = BufReader::new(serving.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    // This message comes after the environment was printed.
    assert!(said.any(|line| line.contains("until Ctrl-C")));
    assert!(!backend.is_gone());
    kill(serving.id().try_into().expect("a process number"), Signal::INT);
    assert_eq!(serving.wait().expect("waited for").signal(), Some(Signal::INT.as_raw()));
    assert!(backend.is_gone());
}

#[test]
fn backend_restarts_are_reported() {
    let stage = Stage::new();
    let mut terminal = Terminal::start(serve(&stage, &[]));
    let backend = stage.events.next("llama-server");
    terminal.wait_for("Ctrl-C");
    kill(backend.pid, Signal::KILL);
    terminal.wait_for("restarting the backend: it was killed by signal 9");
    terminal.wait_for("up again");
    let second = stage.events.next("llama-server");
    assert_eq!(second.argv, backend.argv, "the same port");
    kill(stage.keeper(), Signal::KILL);
    terminal.wait_for("restarting the backend: its keeper was lost");
    terminal.wait_for("up again");
    let third = stage.events.next("llama-server");
    assert_eq!(third.argv, backend.argv, "the same port");
    terminal.type_in("\x03");
    assert_eq!(terminal.wait(), Some(130));
    assert!(third.is_gone());
}

#[test]
fn summary_on_a_terminal_shows_no_key() {
    messages!();
    let stage = Stage::new();
    let mut terminal = Terminal::start(serve(&stage, &[]));
    let backend = stage.events.next("llama-server");
    terminal.wait_for("stop it");
    terminal.wait_for("Ctrl-C");
    terminal.type_in("\x03");
    let output = terminal.wait_to_the_end(130);
    let key = &backend.env["LLAMA_API_KEY"];
    assert!(!output.contains(key.as_str()) && !output.contains("export "), "{output}");
    let at = output.find("serving ").expect("the summary");
    messages::record("summary", output[at..].replace('\r', ""));
}

#[test]
fn lost_backend_ends_serve() {
    messages!();
    let stage = Stage::new();
    stage.config("[lifetime]\nrestarts = 0\n");
    let (session, backend) = serving(&stage);
    kill(backend.pid, Signal::KILL);
    session.wait().expect_failure(69);
}

#[test]
fn small_context_is_rejected_before_anything_is_printed() {
    messages!();
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_N_CTX", 4_096);
    stage.ended(&mut serve(&stage, &[])).expect_failure(69).expect_stdout("");
}

#[test]
fn signal_during_startup_ends_serve() {
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_LOAD", "controlled");
    let session = Session::start(&mut serve(&stage, &[]));
    let backend = stage.events.next("llama-server");
    session.signal(Signal::INT);
    session.wait().expect(130).expect_stdout("");
    assert!(backend.is_gone());
}

#[test]
fn killed_serve_leaves_nothing() {
    let stage = Stage::new();
    let (session, backend) = serving(&stage);
    session.signal(Signal::KILL);
    session.wait();
    backend.wait_gone();
    stage.wait_for_nothing_left();
}
