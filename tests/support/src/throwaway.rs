//! Helpers for tests of throwaway sessions.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use super::{Fake, Session, Stage, Value, json};

pub const LOCAL: [&str; 4] = ["--backend", "llamacpp", "--model", "tiny.gguf"];

pub fn command(stage: &Stage, options: &[&str]) -> Command {
    stage.lclaude(&[&LOCAL, options, &["-p", "x"]].concat())
}

/// Starts a throwaway session, and waits for its Claude Code and backend.
pub fn running(stage: &Stage) -> (Session, Fake, Fake) {
    stage.started(&mut command(stage, &["--throwaway"]))
}

pub fn home_of(claude: &Fake) -> PathBuf {
    PathBuf::from(&claude.env["CLAUDE_CONFIG_DIR"])
}

pub fn read(file: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(file).expect("it can be read")).expect("JSON")
}

pub fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

pub fn write(file: PathBuf, content: impl AsRef<[u8]>) {
    fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
    fs::write(file, content).expect("a file");
}

/// Fills the home as if the user had used Claude Code for a while.
pub fn lived_in(stage: &Stage) {
    let project = stage.project().display().to_string();
    let asked = json!({
        "hasCompletedOnboarding": true, "theme": "dark", "oauthAccount": {"emailAddress": "MINE"},
        "mcpServers": {"mine": {"command": "MINE"}}, "customApiKeyResponses": {"approved": ["MINE"]},
        "projects": {
            &project: {"hasTrustDialogAccepted": true, "allowedTools": ["MINE"], "disabledMcpjsonServers": ["theirs"]},
            "/MINE/elsewhere": {"hasTrustDialogAccepted": true},
        },
    });
    let own = stage.home().join(".claude");
    write(stage.home().join(".claude.json"), asked.to_string());
    write(
        own.join("settings.json"),
        json!({"theme": "light", "model": "MINE", "availableModels": ["MINE"]}).to_string(),
    );
    write(own.join("CLAUDE.md"), "MINE");
    write(own.join(".credentials.json"), r#"{"claudeAiOauth": {"accessToken": "MINE"}}"#);
    write(own.join("projects/-x/1.jsonl"), "MINE");
}

/// The paths and contents of all files below a directory.
pub fn texts(directory: &Path) -> String {
    let mut found = String::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        let text = if path.is_dir() {
            texts(&path)
        } else {
            String::from_utf8_lossy(&fs::read(&path).expect("a file")).into()
        };
        found.push_str(&format!("{}\n{text}\n", path.display()));
    }
    found
}

/// A server on which Claude Code can start. It appends the bodies of requests to the file `requests`.
pub fn endpoint(requests: Option<PathBuf>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // Errors only mean that the client hung up.
            let _ = answer(&stream, requests.as_deref());
        }
    });
    url
}

fn answer(mut stream: &TcpStream, requests: Option<&Path>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut post, mut length, mut asked) = (false, 0, Vec::new());
    for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
        post |= line.starts_with("POST");
        if let Some(text) = line.to_lowercase().strip_prefix("content-length: ") {
            length = text.parse().unwrap_or_default();
        }
    }
    reader.take(length).read_to_end(&mut asked)?;
    if let Some(file) = requests {
        fs::File::options().create(true).append(true).open(file)?.write_all(&asked)?;
    }
    let (head, body) = if post { ("400 Bad Request", "{}") } else { ("200 OK", r#"{"data": [{"id": "m"}]}"#) };
    write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}
