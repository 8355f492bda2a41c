//! Stages with a fake LM Studio: its models, its state, and the commands that were run.

use std::{collections::BTreeMap, fs, path::PathBuf};

use super::{Fake, Stage, Value};

/// Its models, including one without tools, one with a small context, one to download, and one on another machine.
pub const MODELS: &str = r#"[
    {"modelKey": "glm-4.7-flash-mini", "type": "llm", "sizeBytes": 1000000000, "trainedForToolUse": true, "maxContextLength": 131072},
    {"modelKey": "zai-org/glm-4.7-flash", "type": "llm", "sizeBytes": 9000000000, "trainedForToolUse": true, "maxContextLength": 131072},
    {"modelKey": "talker", "type": "llm", "sizeBytes": 1000000000, "trainedForToolUse": false, "maxContextLength": 32768},
    {"modelKey": "short", "type": "llm", "sizeBytes": 1000000000, "trainedForToolUse": true, "maxContextLength": 32768},
    {"modelKey": "org/later", "type": "llm", "sizeBytes": 1000000000, "trainedForToolUse": true, "maxContextLength": 131072, "installed": false},
    {"modelKey": "org/far", "type": "llm", "sizeBytes": 1000000000, "trainedForToolUse": true, "maxContextLength": 131072, "installed": false},
    {"modelKey": "org/far", "type": "llm", "sizeBytes": 1000000000, "trainedForToolUse": true, "maxContextLength": 131072, "deviceIdentifier": "attic"}
]"#;

impl Stage {
    /// Creates a stage with a fake Claude Code on PATH and a fake LM Studio with [`MODELS`] in its usual location.
    pub fn lmstudio() -> Self {
        let mut stage = Self::with(&["fake-claude"]);
        let home = stage.studio();
        fs::create_dir_all(home.join("bin")).expect("a directory");
        stage.install("fake-lms", &home.join("bin/lms"));
        fs::write(home.join("models.json"), MODELS).expect("a file");
        stage.set("FAKE_LMS_STATE", home.display()).set("LCLAUDE_BACKEND", "lmstudio");
        stage
    }

    /// Returns LM Studio's directory.
    pub fn studio(&self) -> PathBuf {
        self.home().join(".lmstudio")
    }

    /// Returns the files with LM Studio's saved settings, running processes and loaded models.
    pub fn studio_state(&self) -> BTreeMap<PathBuf, String> {
        let files = ["running.json", ".internal/http-server-config.json", ".internal/cli-pref.json"];
        let read = files.map(|file| self.studio().join(file)).into_iter();
        read.filter_map(|file| Some((file.clone(), fs::read_to_string(&file).ok()?))).collect()
    }

    /// Runs `lms` as the user, with another HOME so that the stage doesn't count LM Studio as a leftover.
    pub fn lms(&self, arguments: &[&str]) {
        let lms = self.studio().join("bin/lms");
        let status = self.command(lms).args(arguments).env("HOME", "/nonexistent").status().expect("lms runs");
        assert!(status.success(), "{arguments:?}");
    }

    /// Returns the arguments of all runs of `lms` so far.
    pub fn lms_commands(&self) -> Vec<String> {
        let log = fs::read_to_string(self.studio().join("invocations.jsonl")).unwrap_or_default();
        let words = log.lines().map(|line| serde_json::from_str::<Vec<String>>(line).expect("a list"));
        words.map(|words| words.join(" ")).collect()
    }
}

/// Returns the port of LM Studio's server.
pub fn lmstudio_port(studio: &Fake) -> u16 {
    let file = PathBuf::from(&studio.env["FAKE_LMS_STATE"]).join(".internal/http-server-config.json");
    let config: Value = serde_json::from_str(&fs::read_to_string(file).expect("a file")).expect("JSON");
    config["port"].as_u64().and_then(|port| port.try_into().ok()).expect("a port")
}
