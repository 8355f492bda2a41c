//! The model store: installed models, models that can be pulled, and incomplete pulls.

use std::env::var_os;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A model as the test describes it; only the name is required.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// With its tag: `qwen3:4b`.
    pub name: String,
    #[serde(default = "default_size")]
    pub size: u64,
    /// The capabilities in `/api/show`.
    #[serde(default = "default_capabilities")]
    pub capabilities: Vec<String>,
    /// The capabilities in `/api/tags` if they differ. The real program misses those of Jinja templates (observed).
    #[serde(default)]
    pub listed_capabilities: Option<Vec<String>>,
    /// The context that it was trained for, in tokens.
    #[serde(default = "default_context")]
    pub context_length: u32,
    #[serde(default = "default_quantization")]
    pub quantization: String,
    #[serde(default = "default_family")]
    pub family: String,
    /// `PARAMETER num_ctx` in its Modelfile, which overrides `OLLAMA_CONTEXT_LENGTH`.
    #[serde(default)]
    pub num_ctx: Option<u32>,
    /// If false, it can be pulled.
    #[serde(default = "yes")]
    pub installed: bool,
    /// Whether it is loaded from the start, as in a server that the user has used.
    #[serde(default)]
    pub loaded: bool,
    /// The `num_ctx` with which it is loaded from the start.
    #[serde(default)]
    pub loaded_context: Option<u32>,
    /// The cloud model for which this is only an alias.
    #[serde(default)]
    pub remote: Option<String>,
    /// Whether its file is truncated.
    #[serde(default)]
    pub damaged: bool,
}

fn default_size() -> u64 {
    2_600_000_000
}
fn default_capabilities() -> Vec<String> {
    ["tools", "completion"].map(str::to_owned).into()
}
fn default_context() -> u32 {
    131_072
}
fn default_quantization() -> String {
    "Q4_K_M".to_owned()
}
fn default_family() -> String {
    "qwen3".to_owned()
}
fn yes() -> bool {
    true
}

impl Model {
    pub fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|known| known == capability)
    }

    /// 64 hexadecimal digits that depend on the name alone.
    pub fn digest(&self) -> String {
        digest(&self.name)
    }

    pub fn details(&self) -> Value {
        json!({
            "parent_model": "",
            "format": "gguf",
            "family": self.family,
            "families": [self.family],
            "parameter_size": "4.0B",
            "quantization_level": self.quantization,
        })
    }
}

pub fn digest(of: &str) -> String {
    let part = |n: u8| {
        let mut hasher = DefaultHasher::new();
        (of, n).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    };
    (0..4).map(part).collect()
}

/// Completes a name from a client: registry, library and tag have defaults, and the case doesn't
/// matter.
pub fn full_name(given: &str) -> String {
    let name = given.trim_start_matches("registry.ollama.ai/").trim_start_matches("library/").to_lowercase();
    let tag_at = name.rfind(':').filter(|&colon| name.rfind('/').is_none_or(|slash| slash < colon));
    if tag_at.is_some() { name } else { format!("{name}:latest") }
}

pub fn is_valid_name(given: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-/:".contains(letter);
    given.starts_with(|first: char| first.is_ascii_alphanumeric()) && given.chars().all(allowed)
}

/// Names that Ollama sends to its cloud.
pub fn is_cloud(given: &str) -> bool {
    let tag = given.rsplit_once(':').map_or("", |(_, tag)| tag);
    tag == "cloud" || tag.ends_with("-cloud")
}

pub struct Store {
    directory: PathBuf,
    /// The file that describes the models, unless the environment contains them.
    file: Option<PathBuf>,
    models: Mutex<Vec<Model>>,
}

impl Store {
    pub fn open(home: &Path) -> io::Result<Self> {
        let directory = var_os("OLLAMA_MODELS")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .unwrap_or(home.join(".ollama/models"));
        fs::create_dir_all(directory.join("blobs"))?;
        fs::create_dir_all(directory.join("manifests"))?;
        let described = std::env::var("FAKE_OLLAMA_MODELS").unwrap_or_default();
        let (text, file) = if described.starts_with('[') {
            (described, None)
        } else {
            let file = if described.is_empty() { directory.join("fake-models.json") } else { described.into() };
            // Without the file, the store is empty.
            (fs::read_to_string(&file).unwrap_or_else(|_| "[]".to_owned()), Some(file))
        };
        let mut models: Vec<Model> =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("the fake models: {error}: {text}"));
        for model in &mut models {
            model.name = full_name(&model.name);
        }
        let store = Self { directory, file, models: Mutex::new(models) };
        store.prune()?;
        Ok(store)
    }

    /// The real program does so at every start, except for files younger than an hour.
    fn prune(&self) -> io::Result<()> {
        if std::env::var("OLLAMA_NOPRUNE").is_ok_and(|value| !matches!(&*value, "" | "0" | "false")) {
            return Ok(());
        }
        for blob in fs::read_dir(self.directory.join("blobs"))? {
            let blob = blob?;
            let age = blob.metadata()?.modified()?.elapsed().unwrap_or_default();
            if age.as_secs() > 3600 {
                fs::remove_file(blob.path())?;
            }
        }
        Ok(())
    }

    pub fn installed(&self) -> Vec<Model> {
        let mut models = self.lock().clone();
        models.retain(|model| model.installed);
        models
    }

    pub fn find_installed(&self, given: &str) -> Option<Model> {
        self.find(given).filter(|model| model.installed)
    }

    /// Includes models that only the registry has.
    pub fn find(&self, given: &str) -> Option<Model> {
        let name = full_name(given);
        self.lock().iter().find(|model| model.name == name).cloned()
    }

    /// Returns how many bytes an earlier pull left.
    pub fn partial(&self, model: &Model) -> u64 {
        fs::read_to_string(self.partial_file(model)).map_or(0, |text| text.parse().expect("a number of bytes"))
    }

    pub fn keep_partial(&self, model: &Model, completed: u64) {
        fs::write(self.partial_file(model), completed.to_string()).expect("the store can be written");
    }

    pub fn install(&self, model: &Model) {
        // The file doesn't exist if the pull completed at once.
        let _ = fs::remove_file(self.partial_file(model));
        self.change(|models| {
            for known in models.iter_mut().filter(|known| known.name == model.name) {
                // A new download is complete.
                (known.installed, known.damaged) = (true, false);
            }
        });
        self.write_manifest(model);
    }

    pub fn add(&self, model: Model) {
        self.write_manifest(&model);
        self.change(|models| {
            models.retain(|known| known.name != model.name);
            models.push(model);
        });
    }

    /// Removes a model, which the registry still has.
    pub fn remove(&self, model: &Model) {
        self.change(|models| {
            for known in models.iter_mut().filter(|known| known.name == model.name) {
                known.installed = false;
            }
        });
        // A store that the test described as JSON has no manifests.
        let _ = fs::remove_file(self.manifest(model));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Model>)) {
        let mut models = self.lock();
        change(&mut models);
        if let Some(file) = &self.file {
            let text = serde_json::to_string_pretty(&*models).expect("models are JSON");
            fs::write(file, text).expect("the file of the models can be written");
        }
    }

    fn manifest(&self, model: &Model) -> PathBuf {
        let (name, tag) = model.name.split_once(':').expect("a name is completed");
        self.directory.join("manifests/registry.ollama.ai/library").join(name).join(tag)
    }

    fn write_manifest(&self, model: &Model) {
        let manifest = self.manifest(model);
        fs::create_dir_all(manifest.parent().expect("a directory")).expect("the store can be written");
        fs::write(manifest, "{}").expect("the store can be written");
    }

    fn partial_file(&self, model: &Model) -> PathBuf {
        self.directory.join(format!("blobs/sha256-{}-partial", model.digest()))
    }

    /// Returns the path of the model's file.
    pub fn blob(&self, model: &Model) -> PathBuf {
        self.directory.join(format!("blobs/sha256-{}", model.digest()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Model>> {
        self.models.lock().expect("no thread panics with it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed() {
        assert_eq!(full_name("qwen3"), "qwen3:latest");
        assert_eq!(full_name("Qwen3:4B"), "qwen3:4b");
        assert_eq!(full_name("registry.ollama.ai/library/qwen3"), "qwen3:latest");
        assert_eq!(full_name("host:5000/user/x"), "host:5000/user/x:latest");
    }

    #[test]
    fn cloud_names_are_recognized() {
        assert!(is_cloud("gpt-oss:20b-cloud") && is_cloud("glm-4.7:cloud"));
        assert!(!is_cloud("cloudy") && !is_cloud("qwen3:4b"));
    }
}
