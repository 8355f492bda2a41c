//! The control channel of fake-claude and fake-llama-server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use lclaude_fakes::events::Events;
use serde_json::{Value, json};

const CLAUDE: &str = env!("CARGO_BIN_EXE_fake-claude");
const SERVER: &str = env!("CARGO_BIN_EXE_fake-llama-server");

fn start(program: &str, events: &Events) -> Command {
    let mut command = Command::new(program);
    command.env("FAKE_EVENTS", events.addr());
    command
}

/// Creates a directory with a model for one test.
fn model(name: &str) -> std::path::PathBuf {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, "GGUF, or so it says").expect("the target directory is writable");
    path
}

fn get(port: &Value, path: &str) -> String {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).expect("the server listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers");
    answer
}

#[test]
fn claude_without_a_test_prints_its_arguments() {
    let output =
        Command::new(CLAUDE).args(["-p", "two words"]).env_remove("FAKE_EVENTS").output().expect("the fake starts");
    assert_eq!(output.stdout, b"-p\ntwo words\n");
    assert!(output.status.success());
}

#[test]
fn claude_obeys_commands_and_reports_its_exit() {
    let events = Events::new();
    let mut child = start(CLAUDE, &events)
        .args(["--settings", r#"{"env":{"A":"b"}}"#, "-p"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the fake starts");
    let claude = events.next("claude");
    assert_eq!(claude.pid, child.id() as i32);
    assert_eq!(claude.settings["env"]["A"], "b");
    assert!(!claude.stdin_tty);

    claude.send(json!({ "do": "print", "text": "out" }));
    claude.wait_event("done");
    claude.send(json!({ "do": "read_line" }));
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(b"in\n").expect("the fake reads");
    assert_eq!(claude.wait_event("line")["text"], "in\n");

    claude.send(json!({ "do": "exit", "code": 7 }));
    claude.wait_gone();
    let output = child.wait_with_output().expect("the fake can be waited for");
    assert_eq!(output.stdout, b"out");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn sleeper_outlives_claude_until_the_test_ends() {
    let events = Events::new();
    let mut child = start(CLAUDE, &events).spawn().expect("the fake starts");
    let claude = events.next("claude");
    claude.send(json!({ "do": "spawn_sleeper" }));
    let sleeper = events.next("sleeper");
    assert_eq!(sleeper.sid, sleeper.pid);
    claude.send(json!({ "do": "signal", "number": 9 }));
    claude.wait_gone();
    child.wait().expect("the fake can be waited for");
    assert!(!sleeper.is_gone());
    drop(events);
    sleeper.wait_gone();
}

#[test]
fn server_loads_on_command_and_answers_claude() {
    let events = Events::new();
    let mut child = start(SERVER, &events)
        .arg("-m")
        .arg(model("ready.gguf"))
        .args(["--port", "0", "-c", "1000", "-np", "3"])
        .env("LLAMA_API_KEY", "key")
        .env("FAKE_LLAMA_LOAD", "controlled")
        .stderr(Stdio::null())
        .spawn()
        .expect("the fake starts");
    let server = events.next("llama-server");
    let port = &server.wait_event("listening")["port"];
    assert!(get(port, "/health").starts_with("HTTP/1.1 503 "));
    server.send(json!({ "do": "ready" }));
    server.wait_event("ready");
    assert!(get(port, "/health").starts_with("HTTP/1.1 200 "));
    assert!(get(port, "/props").starts_with("HTTP/1.1 401 "));

    let mut claude = start(CLAUDE, &events)
        .env("ANTHROPIC_BASE_URL", format!("http://127.0.0.1:{port}"))
        .env("ANTHROPIC_AUTH_TOKEN", "key")
        .spawn()
        .expect("the fake starts");
    let fake = events.next("claude");
    fake.send(json!({ "do": "request", "path": "/v1/messages", "body": { "messages": [] } }));
    let response = fake.wait_event("response");
    assert_eq!((&response["status"], &response["attempts"]), (&json!(200), &json!(1)));
    assert_eq!(response["body"]["type"], "message");

    drop(events);
    claude.wait().expect("the fake can be waited for");
    child.wait().expect("the fake can be waited for");
}

#[test]
fn server_fails_the_requested_number_of_times() {
    let state = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("starts");
    let _ = std::fs::remove_file(&state);
    let events = Events::new();
    let mut command = start(SERVER, &events);
    command
        .arg("-m")
        .arg(model("bind.gguf"))
        .args(["--port", "0"])
        .env("FAKE_LLAMA_FAIL", "bind")
        .env("FAKE_LLAMA_FAIL_TIMES", "1")
        .env("FAKE_LLAMA_STATE", state);
    let output = command.output().expect("the fake starts");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("couldn't bind HTTP server socket"), "{said}");

    events.next("llama-server").wait_gone();
    let mut child = command.stderr(Stdio::null()).spawn().expect("the fake starts");
    let server = events.next("llama-server");
    server.wait_event("ready");
    server.send(json!({ "do": "signal", "number": 15 }));
    server.wait_gone();
    child.wait().expect("the fake can be waited for");
}

#[test]
fn helper_survives_in_the_process_group_of_the_server() {
    let events = Events::new();
    let mut child = start(SERVER, &events)
        .arg("-m")
        .arg(model("helper.gguf"))
        .args(["--port", "0"])
        .env("FAKE_LLAMA_SPAWN_HELPER", "1")
        .stderr(Stdio::null())
        .spawn()
        .expect("the fake starts");
    let server = events.next("llama-server");
    let helper = events.next("helper");
    assert_eq!(helper.pgid, server.pgid);
    server.send(json!({ "do": "exit", "code": 0 }));
    server.wait_gone();
    child.wait().expect("the fake can be waited for");
    assert!(!helper.is_gone());
}
