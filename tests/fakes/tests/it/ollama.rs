//! fake-ollama behaves as the real Ollama was observed to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lclaude_fakes::events::{Events, Fake};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const OLLAMA: &str = env!("CARGO_BIN_EXE_fake-ollama");
const MODELS: &str = r#"[
    {"name": "qwen3:4b", "context_length": 40960},
    {"name": "talker", "capabilities": ["completion"], "num_ctx": 2048},
    {"name": "far:1b", "size": 1000, "installed": false}
]"#;

/// Creates a directory for one test, which is home and store.
fn home(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("the target directory is writable");
    path
}

fn command(home: &Path) -> Command {
    let mut command = Command::new(OLLAMA);
    command.arg("serve").env("HOME", home).env("OLLAMA_HOST", "127.0.0.1:0").env("OLLAMA_CONTEXT_LENGTH", "65536");
    command.env_remove("OLLAMA_MODELS").env("FAKE_OLLAMA_MODELS", MODELS).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A running server and its port.
struct Ollama {
    child: Child,
    fake: Fake,
    port: Value,
}

impl Ollama {
    fn start(events: &Events, command: &mut Command) -> Self {
        let child = command.env("FAKE_EVENTS", events.addr()).spawn().expect("the fake starts");
        let fake = events.next("ollama");
        let port = fake.wait_event("listening")["port"].clone();
        Self { child, fake, port }
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> TcpStream {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{}", self.port)).expect("the server listens");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("the server reads");
        stream
    }

    /// Returns the status and the body of the response.
    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut answer = String::new();
        self.send(method, path, body).read_to_string(&mut answer).expect("the server answers");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let text = answer.split_once("\r\n\r\n").expect("a head and a body").1;
        (status, serde_json::from_str(text).unwrap_or_else(|_| json!(text)))
    }

    fn get(&self, path: &str) -> Value {
        self.ask("GET", path, &Value::Null).1
    }

    fn load(&self, model: &str) -> (u16, Value) {
        self.ask("POST", "/api/generate", &json!({ "model": model, "keep_alive": -1 }))
    }

    fn messages(&self, model: &str) -> (u16, Value) {
        let body = json!({
            "model": model,
            "max_tokens": 9,
            "messages": [{ "role": "user", "content": "hi" }],
            "tools": [{ "name": "Bash" }],
        });
        self.ask("POST", "/v1/messages", &body)
    }

    /// Returns the lines of a pull as they arrive.
    fn pull(&self, model: &str) -> impl Iterator<Item = Value> + use<> {
        let stream = self.send("POST", "/api/pull", &json!({ "model": model, "stream": true }));
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        lines.filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(&line).expect("a line is JSON"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.fake.pid).expect("a process number"), signal).expect("it runs");
    }
}

impl Drop for Ollama {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn server_listens_before_it_serves() {
    let events = Events::new();
    let ollama = Ollama::start(&events, command(&home("listens")).env("FAKE_OLLAMA_LISTEN", "controlled"));
    let mut early = ollama.send("GET", "/api/version", &Value::Null);
    ollama.fake.send(json!({ "do": "serve" }));
    ollama.fake.wait_event("serving");
    let mut answer = String::new();
    early.read_to_string(&mut answer).expect("the server answers in the end");
    assert!(answer.ends_with(r#"{"version":"0.33.0"}"#), "{answer}");
}

#[test]
fn models_are_listed_shown_and_loaded_with_a_capped_context() {
    let events = Events::new();
    let home = home("models");
    let ollama = Ollama::start(&events, &mut command(&home));
    assert!(home.join(".ollama/id_ed25519").exists());
    let names: Vec<Value> = ollama.get("/api/tags")["models"]
        .as_array()
        .expect("models")
        .iter()
        .map(|model| model["name"].clone())
        .collect();
    assert_eq!(names, ["qwen3:4b", "talker:latest"]);
    let shown = ollama.ask("POST", "/api/show", &json!({ "model": "qwen3:4b" })).1;
    assert_eq!(shown["model_info"]["qwen3.context_length"], 40960);
    assert_eq!(shown["capabilities"], json!(["tools", "completion"]));
    assert_eq!(
        ollama.ask("POST", "/api/show", &json!({ "model": "nope" })),
        (404, json!({ "error": "model 'nope:latest' not found" }))
    );

    assert_eq!(ollama.load("qwen3:4b").1["done_reason"], "load");
    let runner = events.next("runner");
    assert_eq!((runner.ppid, runner.pgid), (ollama.fake.pid, ollama.fake.pgid));
    assert!(runner.argv.windows(2).any(|pair| pair == ["-c", "40960"]), "{:?}", runner.argv);
    assert_eq!(ollama.get("/api/ps")["models"][0]["context_length"], 40960);
    ollama.load("talker");
    let talker = events.next("runner");
    let contexts = ollama.get("/api/ps")["models"].to_string();
    assert!(contexts.contains(r#""context_length":2048"#), "{contexts}");

    let unload = json!({ "model": "talker", "keep_alive": 0 });
    assert_eq!(ollama.ask("POST", "/api/generate", &unload).1["done_reason"], "unload");
    talker.wait_gone();
    // A second unload returns the same response.
    assert_eq!(ollama.ask("POST", "/api/generate", &unload).1["done_reason"], "unload");

    ollama.fake.send(json!({ "do": "evict", "model": "qwen3:4b" }));
    ollama.fake.wait_event("unloaded");
    runner.wait_gone();
    assert_eq!(ollama.get("/api/ps"), json!({ "models": [] }));
    assert_eq!(ollama.messages("qwen3:4b").0, 200);
    assert!(!events.next("runner").is_gone());
}

#[test]
fn rejected_messages_get_the_errors_of_the_real_ollama() {
    let events = Events::new();
    let ollama = Ollama::start(&events, command(&home("refusals")).env("OLLAMA_NO_CLOUD", "1"));
    let said = |(status, body): (u16, Value)| (status, body["error"]["message"].clone());
    assert_eq!(said(ollama.messages("nope")), (404, json!("model 'nope' not found")));
    let no_tools = "registry.ollama.ai/library/talker:latest does not support tools";
    assert_eq!(said(ollama.messages("talker")), (400, json!(no_tools)));
    assert_eq!(said(ollama.ask("POST", "/v1/messages", &json!({}))), (400, json!("model is required")));
    let off = json!({ "error": "ollama cloud is disabled: remote model is unavailable" });
    assert_eq!(ollama.messages("gpt-oss:20b-cloud"), (403, off));
    assert_eq!(ollama.ask("GET", "/v1/messages", &Value::Null), (405, json!("405 method not allowed")));
    assert_eq!(ollama.ask("POST", "/v1/messages/count_tokens", &json!({})), (404, json!("404 page not found")));
}

#[test]
fn load_is_controlled_by_the_test_and_can_fail() {
    let events = Events::new();
    let ollama = Ollama::start(&events, command(&home("loads")).env("FAKE_OLLAMA_LOAD", "controlled"));
    let mut waiting = ollama.send("POST", "/api/generate", &json!({ "model": "qwen3:4b" }));
    ollama.fake.wait_event("loading");
    // A runner that is ended at once may not send its hello.
    let runner = events.next("runner");
    assert_eq!(ollama.get("/api/ps"), json!({ "models": [] }));
    ollama.fake.send(json!({ "do": "load_fail" }));
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).expect("the server answers");
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("insufficient memory"), "{answer}");
    runner.wait_gone();
    ollama.fake.wait_event("load_failed");

    // A client that hangs up cancels the load.
    let waiting = ollama.send("POST", "/api/generate", &json!({ "model": "qwen3:4b" }));
    let runner = events.next("runner");
    drop(waiting);
    ollama.fake.wait_event("load_failed");
    runner.wait_gone();

    // TERM cancels it too.
    let _waiting = ollama.send("POST", "/api/generate", &json!({ "model": "qwen3:4b" }));
    let runner = events.next("runner");
    ollama.signal(Signal::TERM);
    ollama.fake.wait_gone();
    runner.wait_gone();
}

#[test]
fn canceled_pull_is_resumed() {
    let events = Events::new();
    let home = home("pulls");
    let mut command = command(&home);
    command.env("FAKE_OLLAMA_PULL", "controlled");
    let ollama = Ollama::start(&events, &mut command);
    let mut lines = ollama.pull("far:1b");
    assert_eq!(lines.next().expect("a line")["status"], "pulling manifest");
    ollama.fake.send(json!({ "do": "pull_progress", "completed": 400 }));
    let line = lines.next().expect("a line");
    assert_eq!((&line["total"], &line["completed"]), (&json!(1000), &json!(400)));
    drop(lines);
    assert_eq!(ollama.fake.wait_event("pull_cancelled")["completed"], 400);
    drop(ollama);

    // Another server on the same store resumes it too.
    let ollama = Ollama::start(&events, &mut command);
    let mut lines = ollama.pull("far:1b");
    assert_eq!(ollama.fake.wait_event("pull")["completed"], 400);
    assert_eq!(lines.nth(1).expect("a line")["completed"], 400);
    ollama.fake.send(json!({ "do": "pull_finish" }));
    assert_eq!(lines.last().expect("a line"), json!({ "status": "success" }));
    assert_eq!(ollama.load("far:1b").0, 200);

    let nothing: Vec<Value> = ollama.pull("nothing").collect();
    assert_eq!(nothing[1], json!({ "error": "pull model manifest: file does not exist" }));
}

#[test]
fn term_ends_the_runners_and_kill_leaves_them() {
    let events = Events::new();
    let home = home("ends");
    let ollama = Ollama::start(&events, &mut command(&home));
    ollama.load("qwen3:4b");
    let runner = events.next("runner");
    ollama.signal(Signal::TERM);
    ollama.fake.wait_gone();
    runner.wait_gone();

    let ollama = Ollama::start(&events, &mut command(&home));
    ollama.load("qwen3:4b");
    let runner = events.next("runner");
    ollama.signal(Signal::KILL);
    ollama.fake.wait_gone();
    assert!(!runner.is_gone());
}

#[test]
fn version_and_port_conflict_are_reported() {
    let events = Events::new();
    let home = home("version");
    let ollama = Ollama::start(&events, command(&home).env("FAKE_OLLAMA_VERSION", "0.13.5"));
    let host = format!("127.0.0.1:{}", ollama.port);
    let said = |arguments: &[&str], host: &str| {
        let mut command = Command::new(OLLAMA);
        command.args(arguments).env("OLLAMA_HOST", host).env("HOME", &home).env_remove("FAKE_EVENTS");
        let output = command.output().expect("the fake starts");
        (
            output.status.code(),
            String::from_utf8(output.stdout).expect("text"),
            String::from_utf8(output.stderr).expect("text"),
        )
    };
    assert_eq!(said(&["--version"], &host).1, "ollama version is 0.13.5\nWarning: client version is 0.33.0\n");
    let alone = "Warning: could not connect to a running Ollama instance\nWarning: client version is 0.33.0\n";
    assert_eq!(said(&["-v"], "127.0.0.1:1").1, alone);
    let taken = format!("Error: listen tcp {host}: bind: address already in use\n");
    assert_eq!(said(&["serve"], &host), (Some(1), String::new(), taken));
    assert_eq!(said(&["serve", "--port", "1"], &host).2, "Error: unknown flag: --port\n");
    assert_eq!(said(&["sevre"], &host).2, "Error: unknown command \"sevre\" for \"ollama\"\n");
}
