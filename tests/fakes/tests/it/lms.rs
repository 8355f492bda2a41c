//! fake-lms behaves like the source of the real lms.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use lclaude_fakes::events::Events;
use serde_json::{Value, json};

const MODELS: &str = r#"[
    {"modelKey": "qwen/qwen3-4b-thinking"},
    {"modelKey": "qwen/qwen3-4b", "maxContextLength": 32768},
    {"modelKey": "zai-org/glm-4.7-flash", "installed": false}
]"#;

/// LM Studio's directory, and the events of its processes.
struct Stage {
    state: PathBuf,
    events: Events,
}

struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Stage {
    fn new(name: &str) -> Self {
        let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lms-{name}"));
        let _ = fs::remove_dir_all(&state);
        fs::create_dir_all(&state).expect("the target directory is writable");
        fs::write(state.join("models.json"), MODELS).expect("the target directory is writable");
        Self { state, events: Events::new() }
    }

    fn lms(&self, line: &str) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_fake-lms"))
            .args(line.split_whitespace())
            .env("FAKE_LMS_STATE", &self.state)
            .env("FAKE_EVENTS", self.events.addr())
            .env_remove("LMS_SERVER_HOST")
            .output()
            .expect("the fake starts");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        let said = self.lms(line);
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{line}: {error}: {}", said.stderr))
    }

    fn file(&self, file: &str) -> Value {
        serde_json::from_slice(&fs::read(self.state.join(file)).expect(file)).expect("JSON")
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a port");
    listener.local_addr().expect("a bound socket has an address").port()
}

fn ask(port: u16, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server listens");
    let body = body.to_string();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON"))
}

#[test]
fn status_commands_start_nothing() {
    let stage = Stage::new("asking");
    assert_eq!(stage.json("daemon status --json"), json!({ "status": "not-running" }));
    assert_eq!(stage.json("server status --json --quiet"), json!({ "running": false }));
    assert_eq!(stage.lms("daemon down").code, Some(1));
    assert_eq!(stage.lms("server stop").stderr, "Error: The server is not running.\n");
    assert!(stage.events.rest().is_empty());

    // Most other commands start it.
    assert_eq!(stage.json("ps --json"), json!([]));
    let studio = stage.events.next("lmstudio");
    assert_eq!(studio.sid, studio.pid);
    let status = stage.json("daemon status --json");
    assert_eq!(status, json!({ "status": "running", "pid": studio.pid, "isDaemon": true }));
    assert_eq!(stage.json("daemon up --json")["version"], "0.4.4+1");
    assert_eq!(stage.lms("daemon down").code, Some(0));
    studio.wait_gone();
    assert_eq!(stage.file("running.json"), json!({ "daemon": false, "server": false, "loaded": [] }));
}

#[test]
fn server_runs_in_the_background_and_remembers_its_port() {
    let stage = Stage::new("server");
    let port = free_port();
    let said = stage.lms(&format!("server start -p {port} --bind 127.0.0.1"));
    assert_eq!(said.stderr, format!("Success! Server is now running on port {port}\n"));
    let studio = stage.events.next("lmstudio");
    assert_eq!(studio.wait_event("listening")["port"], port);
    assert_eq!(stage.json("server status --json --quiet"), json!({ "running": true, "port": port }));
    assert_eq!(ask(port, "GET", "/lmstudio-greeting", &Value::Null), (200, json!({ "lmstudio": true })));
    let odd = ask(port, "GET", "/nothing", &Value::Null);
    assert_eq!(odd, (200, json!({ "error": "Unexpected endpoint or method. (GET /nothing)" })));

    assert_eq!(stage.lms("server stop").stderr, format!("Stopped the server on port {port}.\n"));
    studio.wait_event("stopped");
    assert_eq!(stage.json("server status --json"), json!({ "running": false, "port": port }));
    assert_eq!(
        stage.file(".internal/http-server-config.json"),
        json!({ "port": port, "networkInterface": "127.0.0.1" })
    );
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free again");
    let said = stage.lms("server start");
    assert!(said.code == Some(1) && said.stderr.contains("EADDRINUSE"), "{}", said.stderr);
    assert!(!studio.is_gone());
}

#[test]
fn load_uses_the_first_match() {
    let stage = Stage::new("loads");
    assert_eq!(stage.json("ls --json").as_array().map(Vec::len), Some(2));
    let said = stage.lms("load qwen/qwen3-4b --identifier ours -c 20000 --gpu max -y");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let loaded = stage.json("ps --json");
    let entry = &loaded[0];
    assert_eq!((&entry["modelKey"], &entry["identifier"]), (&json!("qwen/qwen3-4b"), &json!("ours")));
    assert_eq!((&entry["contextLength"], &entry["status"]), (&json!(20000), &json!("idle")));
    // The match is not the intended model.
    assert_eq!(stage.lms("load qwen3-4 -y").code, Some(0));
    assert_eq!(stage.json("ps --json")[1]["modelKey"], "qwen/qwen3-4b");
    assert_eq!(stage.file(".internal/cli-pref.json"), json!({ "lastLoadedModels": ["qwen/qwen3-4b"] }));
    assert_eq!(stage.lms("load gemma -y").code, Some(1));
    assert_eq!(stage.lms("load qwen3-4").code, Some(1));

    assert_eq!(stage.lms("unload nobody").code, Some(0));
    assert_eq!(stage.lms("unload ours").code, Some(0));
    assert_eq!(stage.json("ps --json").as_array().map(Vec::len), Some(1));
    assert_eq!(stage.lms("get zai-org/glm-4.7-flash -y").code, Some(0));
    assert_eq!(stage.json("ls --json").as_array().map(Vec::len), Some(3));
    assert_eq!(stage.lms("get zai-org/other -y").code, Some(1));
}

#[test]
fn messages_go_to_loaded_models() {
    let stage = Stage::new("messages");
    let port = free_port();
    stage.lms(&format!("server start --port={port}"));
    stage.lms("load qwen/qwen3-4b --identifier ours -y");
    let studio = stage.events.next("lmstudio");
    let body = |model: &str, role: &str| json!({ "model": model, "messages": [{ "role": role, "content": "hi" }] });
    assert_eq!(ask(port, "POST", "/v1/messages", &body("ours", "user")).1["model"], "ours");
    assert_eq!(ask(port, "POST", "/v1/messages", &body("ours", "system")).0, 400);
    studio.send(json!({ "do": "evict", "identifier": "ours" }));
    studio.wait_event("done");
    let (status, answer) = ask(port, "POST", "/v1/messages", &body("ours", "user"));
    let said = answer["error"]["message"].as_str().expect("a message");
    assert!(status == 400 && said.starts_with("Invalid model identifier \"ours\""), "{answer}");
    // The name of a model on disk loads it with the default context.
    assert_eq!(ask(port, "POST", "/v1/messages", &body("qwen/qwen3-4b", "user")).0, 200);
    let models = ask(port, "GET", "/api/v1/models", &Value::Null).1;
    assert_eq!(models["models"][1]["loaded_instances"][0]["config"]["context_length"], 4096);
}

#[test]
fn command_lines_are_recorded_and_unknown_ones_rejected() {
    let stage = Stage::new("strict");
    assert_eq!(stage.lms("server start --prot 1").stderr, "error: unknown option '--prot'\n");
    assert_eq!(stage.lms("sevrer start").stderr, "error: unknown command 'sevrer'\n");
    let said = stage.lms("load x --gpu most");
    assert_eq!((said.code, said.stdout), (Some(1), String::new()));
    assert!(stage.events.rest().is_empty());
    let noted = fs::read_to_string(stage.state.join("invocations.jsonl")).expect("a log");
    assert_eq!(
        noted,
        "[\"server\",\"start\",\"--prot\",\"1\"]\n[\"sevrer\",\"start\"]\n[\"load\",\"x\",\"--gpu\",\"most\"]\n"
    );
}
