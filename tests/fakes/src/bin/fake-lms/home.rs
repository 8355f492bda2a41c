//! LM Studio's directory, set by `FAKE_LMS_STATE`. Its files, which tests compare:
//!
//! | file | holds |
//! |---|---|
//! | `models.json` | the models, see [`crate::models::Model`]; the test writes it, `lms get` changes it |
//! | `running.json` | `{"daemon", "server", "loaded"}`: the current state, without process ids |
//! | `.internal/http-server-config.json` | the remembered port and address, as in the real program |
//! | `.internal/cli-pref.json` | the models that `lms load` loaded last, as in the real program |
//! | `invocations.jsonl` | every command line so far, one JSON array per line |
//!
//! After the daemon is killed, `running.json` still lists it; the next command corrects that.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::models::Model;

#[derive(Clone)]
pub struct Home(PathBuf);

impl Home {
    pub fn from_environment() -> Self {
        let path = std::env::var_os("FAKE_LMS_STATE").expect("FAKE_LMS_STATE names a directory");
        fs::create_dir_all(Path::new(&path).join(".internal")).expect("FAKE_LMS_STATE can be written");
        Self(path.into())
    }

    pub fn socket(&self) -> PathBuf {
        self.0.join("daemon.sock")
    }

    pub fn log_invocation(&self, arguments: &[String]) {
        let file = OpenOptions::new().create(true).append(true).open(self.0.join("invocations.jsonl"));
        let line = format!("{}\n", json!(arguments));
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("FAKE_LMS_STATE can be written");
    }

    /// Returns the models on disk.
    pub fn installed(&self) -> Vec<Model> {
        let mut models = self.models();
        models.retain(|model| model.installed);
        models
    }

    pub fn models(&self) -> Vec<Model> {
        let models = self.read("models.json");
        if models.is_null() { Vec::new() } else { serde_json::from_value(models).expect("models.json holds models") }
    }

    pub fn set_models(&self, models: &[Model]) {
        self.write("models.json", &json!(models));
    }

    pub fn set_running(&self, running: &Value) {
        self.write("running.json", running);
    }

    /// Returns the remembered port and address, or null before the first start of the server.
    pub fn server_config(&self) -> Value {
        self.read(".internal/http-server-config.json")
    }

    pub fn set_server_config(&self, port: u16, interface: &str) {
        let config = json!({ "port": port, "networkInterface": interface });
        self.write(".internal/http-server-config.json", &config);
    }

    /// Model keys, latest first.
    pub fn last_loaded(&self) -> Vec<String> {
        let preferences = self.read(".internal/cli-pref.json");
        let keys = preferences["lastLoadedModels"].as_array().cloned().unwrap_or_default();
        keys.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    pub fn set_last_loaded(&self, keys: &[String]) {
        self.write(".internal/cli-pref.json", &json!({ "lastLoadedModels": keys }));
    }

    fn read(&self, file: &str) -> Value {
        let Ok(text) = fs::read_to_string(self.0.join(file)) else {
            return Value::Null;
        };
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// Writes atomically, because a test may read the file at any time.
    fn write(&self, file: &str, value: &Value) {
        let new = self.0.join(format!("{file}.new"));
        let text = serde_json::to_string_pretty(value).expect("a value is JSON");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, self.0.join(file)))
            .expect("FAKE_LMS_STATE can be written");
    }
}
