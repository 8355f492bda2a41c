//! The status line: lclaude's own below the user's.
//!
//! Claude Code runs one command for it, that of the settings with the highest precedence, so the overlay would replace the
//! user's. `lclaude local line` therefore runs theirs too. It finds it in a file in the session's private directory, since
//! a command may contain a secret.
//!
//! Claude Code runs no status line before the user trusts the folder, wherever the command comes from (2.1.331: "Skipping
//! `StatusLine` command execution - workspace trust not accepted"). So a project's command runs under the same
//! condition as without lclaude. The settings are those at the start of the session.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::overlay::{files, merge};
use crate::base::{disk, ui};

/// How often Claude Code runs the line, in seconds: alone, and with the user's own command. It ends a run that lasts until
/// the next one. 1 is the least that it accepts.
const REFRESH_INTERVALS: [u32; 2] = [1, 3];

/// What `lclaude local line` reads.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StatusLineFile {
    /// The socket of the keeper, or `None` without a keeper.
    pub keeper: Option<String>,
    /// The user's own command line.
    pub command: Option<String>,
    /// How often Claude Code would run it, in seconds, apart from when something changes.
    pub refresh_interval: Option<f64>,
}

/// Returns the user's own `statusLine`, or `None` if they have none. `given`: their `--settings`. `sources`: the value of
/// `--setting-sources`.
pub(crate) fn find(
    config_dir: Option<&Path>,
    project: &Path,
    sources: Option<&str>,
    given: Option<&Value>,
) -> Option<Value> {
    let names: &[&str] = if config_dir.is_some() { &["user", "project", "local"] } else { &["project", "local"] };
    let is_read = |name: &str| sources.is_none_or(|sources| sources.split(',').any(|source| source.trim() == name));
    let mut found = Value::Null;
    // As Claude Code does, from the lowest precedence to the highest.
    for (_, file) in names.iter().zip(files(config_dir, project)).filter(|(name, _)| is_read(name)) {
        let settings = disk::read(&file).ok().and_then(|content| serde_json::from_slice::<Value>(&content).ok());
        if let Some(own) = settings.as_ref().and_then(|settings| settings.get("statusLine")) {
            merge(&mut found, own.clone());
        }
    }
    if let Some(own) = given.and_then(|settings| settings.get("statusLine")) {
        merge(&mut found, own.clone());
    }
    Some(found).filter(|own| own["type"] == "command" && own["command"].is_string())
}

/// Returns the `statusLine` of the overlay, which keeps the other keys of the user's own. `program`: lclaude. `file`: the
/// [`StatusLineFile`].
pub(crate) fn overlay(own: Option<&Value>, program: &str, file: &str) -> Value {
    let words = [program, "local", "line", file].map(str::to_owned);
    let mut line = own.cloned().unwrap_or_else(|| json!({}));
    let ours = json!({
        "type": "command",
        "command": ui::quote_command(words.into_iter()),
        "refreshInterval": REFRESH_INTERVALS[usize::from(own.is_some())],
    });
    merge(&mut line, ours);
    line
}

impl StatusLineFile {
    /// Returns the file's content for the user's own `statusLine`.
    pub(crate) fn new(own: Option<&Value>, keeper: Option<&Path>) -> Self {
        StatusLineFile {
            keeper: keeper.and_then(Path::to_str).map(str::to_owned),
            command: own.and_then(|own| own["command"].as_str()).map(str::to_owned),
            refresh_interval: own.and_then(|own| own["refreshInterval"].as_f64()).filter(|seconds| *seconds >= 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn line(command: &str) -> Value {
        json!({"type": "command", "command": command})
    }

    #[test]
    fn own_status_line_is_the_one_that_claude_code_would_use() {
        let dir = tempfile::tempdir().expect("a directory");
        let (home, project) = (dir.path().join("home"), dir.path().join("project"));
        let write = |file: &Path, own: Value| {
            fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
            fs::write(file, json!({"statusLine": own}).to_string()).expect("a file");
        };
        let found = |sources, given: Option<Value>| {
            find(Some(&home), &project, sources, given.as_ref())
                .map(|own| own["command"].as_str().expect("text").to_owned())
        };
        assert_eq!(found(None, None), None);
        write(&home.join("settings.json"), json!({"type": "command", "command": "user", "padding": 2}));
        write(&project.join(".claude/settings.json"), line("project"));
        assert_eq!(found(None, None).as_deref(), Some("project"));
        write(&project.join(".claude/settings.local.json"), line("local"));
        assert_eq!(found(None, None).as_deref(), Some("local"));
        assert_eq!(found(None, Some(json!({"statusLine": line("given")}))).as_deref(), Some("given"));
        assert_eq!(found(Some("user"), None).as_deref(), Some("user"));
        assert_eq!(found(Some(""), None), None);
        assert_eq!(find(None, &project, Some("user"), None), None, "a throwaway home has no settings of the user");
        // Claude Code merges the objects of all files.
        assert_eq!(find(Some(&home), &project, None, None).expect("found")["padding"], 2);
        write(&project.join(".claude/settings.local.json"), json!({"type": "command", "command": 1}));
        assert_eq!(found(None, None), None, "an invalid command is not run");
    }

    #[test]
    fn overlay_keeps_other_keys_and_carries_no_command() {
        let own = json!({"type": "command", "command": "my secret", "padding": 0, "refreshInterval": 60});
        let line = overlay(Some(&own), "/opt/my lclaude", "/run/line.json");
        assert_eq!(
            line,
            json!({"type": "command", "command": "'/opt/my lclaude' local line /run/line.json", "padding": 0,
                "refreshInterval": 3})
        );
        let file = StatusLineFile::new(Some(&own), Some(Path::new("/run/a.sock")));
        let expected = StatusLineFile {
            keeper: Some("/run/a.sock".into()),
            command: Some("my secret".into()),
            refresh_interval: Some(60.0),
        };
        assert_eq!(file, expected);
    }
}
