//! A stage with a fake Ollama, its models, and the user's own server.

use std::{
    fs,
    process::{Child, Stdio},
};

use rustix::process::Signal;

use super::{Events, Fake, Session, Stage, Value, json, kill};

/// Models with tools, without tools although listed with them, with a small context in the Modelfile, and not installed.
pub const MODELS: &str = r#"[
    {"name": "small:latest", "context_length": 131072},
    {"name": "Big:30b", "context_length": 131072},
    {"name": "talker:latest", "capabilities": ["completion"], "listed_capabilities": ["completion", "tools"]},
    {"name": "quiet:latest", "listed_capabilities": ["completion"]},
    {"name": "fixed:latest", "num_ctx": 30000},
    {"name": "cramped:latest", "num_ctx": 4096},
    {"name": "far:1b", "size": 1000000000, "installed": false}
]"#;

impl Stage {
    /// A stage with a fake Claude Code and a fake Ollama on PATH, and [`MODELS`] in the user's store.
    pub fn ollama() -> Self {
        let mut stage = Self::with(&["fake-claude", "fake-ollama"]);
        // An unused address, because the test machine may run an Ollama.
        stage.set("OLLAMA_HOST", "127.0.0.1:1").set("LCLAUDE_BACKEND", "ollama");
        let store = stage.home().join(".ollama/models");
        let models: Vec<Value> = serde_json::from_str(MODELS).expect("JSON");
        for model in models.iter().filter(|model| model["installed"] != false) {
            let (name, tag) = model["name"].as_str().and_then(|name| name.split_once(':')).expect("a name and a tag");
            let manifest = store.join("manifests/registry.ollama.ai/library").join(name).join(tag);
            fs::create_dir_all(manifest.parent().expect("a directory")).expect("a directory");
            fs::write(manifest, "{}").expect("a file");
        }
        fs::create_dir_all(store.join("blobs")).expect("a directory");
        // The fake compares names without case, like Ollama.
        fs::write(store.join("fake-models.json"), MODELS).expect("a file");
        stage
    }

    /// Starts a session with this model.
    pub fn on(&self, model: &str, arguments: &[&str]) -> Session {
        Session::start(self.lclaude(arguments).args(["--model", model, "-p", "hello"]))
    }

    /// Starts a session with this model, and waits for its Claude Code and its Ollama.
    pub fn up(&self, model: &str) -> (Session, Fake, Fake) {
        let session = self.on(model, &[]);
        let backend = self.events.next("ollama");
        (session, self.events.next("claude"), backend)
    }
}

/// The port of a fake Ollama.
pub fn ollama_port(backend: &Fake) -> u16 {
    let port = backend.env["OLLAMA_HOST"].strip_prefix("127.0.0.1:").and_then(|port| port.parse().ok());
    port.expect("a port on 127.0.0.1")
}

/// The user's own Ollama server, which doesn't count as a process of the stage.
pub struct Own {
    child: Child,
    pub fake: Fake,
    pub url: String,
}

impl Own {
    pub fn start(stage: &Stage, switches: &[(&str, &str)]) -> Self {
        let mut command = stage.command(stage.bin().join("ollama"));
        command.arg("serve").env("HOME", stage.root().join("theirs")).env("OLLAMA_HOST", "127.0.0.1:0");
        command.env("OLLAMA_MODELS", stage.home().join(".ollama/models")).env("OLLAMA_CONTEXT_LENGTH", "65536");
        command.env("OLLAMA_NOPRUNE", "1").envs(switches.iter().copied());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        let fake = stage.events.next("ollama");
        let port = fake.wait_event("listening")["port"].clone();
        fake.wait_event("serving");
        Own { child, fake, url: format!("http://127.0.0.1:{port}") }
    }

    /// Loads a model, as another client would.
    pub fn load(&self, events: &Events, model: &str) -> Fake {
        let body = json!({"model": model});
        assert!(post(&self.url, "/api/generate", &body).contains("\"load\""), "{model} is not loaded");
        events.next("runner")
    }

    /// The names of the loaded models.
    pub fn loaded(&self) -> Vec<String> {
        let text = ask(&self.url, "GET /api/ps", "");
        let models: Value = serde_json::from_str(&text).expect("JSON");
        let names = models["models"].as_array().expect("a list").iter().map(|model| model["name"].as_str());
        names.map(|name| name.expect("a name").to_owned()).collect()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        kill(self.fake.pid, Signal::TERM);
        let _ = self.child.wait();
    }
}

/// A stage that is configured to use the user's own server.
pub fn shared(switches: &[(&str, &str)]) -> (Stage, Own) {
    let mut stage = Stage::ollama();
    stage.config("[ollama]\ninstance = \"shared\"\n");
    let own = Own::start(&stage, switches);
    stage.set("OLLAMA_HOST", own.url.trim_start_matches("http://"));
    (stage, own)
}

fn post(url: &str, path: &str, body: &Value) -> String {
    ask(url, &format!("POST {path}"), &body.to_string())
}

/// Sends a request and returns the body of the response.
fn ask(url: &str, route: &str, body: &str) -> String {
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).expect("it listens");
    let head = format!("{route} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}", body.len());
    write!(stream, "{head}\r\n\r\n{body}").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer.split_once("\r\n\r\n").expect("a body").1.to_owned()
}
