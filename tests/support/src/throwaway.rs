//! Helpers for tests of throwaway sessions.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Fake, Session, Stage, Value, json, server};

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
    server::start(move |request| {
        if let Some(file) = &requests {
            let file = fs::File::options().create(true).append(true).open(file);
            file.and_then(|mut file| file.write_all(&request.body)).expect("the request is recorded");
        }
        match &*request.method {
            "POST" => ("400 Bad Request", "{}"),
            _ => ("200 OK", r#"{"data": [{"id": "m"}]}"#),
        }
    })
}
