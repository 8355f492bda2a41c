//! The files of an installed model, as its manifest in the store names them.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use super::store;
use crate::base::disk;

/// Manifests, configurations and templates are a few kilobytes; a file that is longer is none.
const LONGEST: u64 = 1024 * 1024;

/// What a store has of one model.
pub struct Blobs {
    /// Bytes of the weights, those of a projector for images included.
    pub size: u64,
    /// The GGUF file; none for a model that runs elsewhere.
    pub weights: Option<PathBuf>,
    template: String,
    config: Value,
    parameters: Value,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    config: Layer,
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    size: u64,
}

impl Layer {
    fn is(&self, kind: &str) -> bool {
        self.media_type == format!("application/vnd.ollama.image.{kind}")
    }

    /// `None` for what is no digest, so that no manifest leads out of the store.
    fn path(&self, store: &Path) -> Option<PathBuf> {
        let digest = self.digest.strip_prefix("sha256:")?;
        let is_digest = !digest.is_empty() && digest.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_digest.then(|| store.join("blobs").join(format!("sha256-{digest}")))
    }

    fn text(&self, store: &Path) -> Option<String> {
        read(&self.path(store)?)
    }
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    disk::open(path).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

impl Blobs {
    /// `None` for a model that is not in this store, or whose manifest cannot be read.
    pub fn of(store: &Path, model: &str) -> Option<Self> {
        let manifest: Manifest = serde_json::from_str(&read(&manifest(store, model)?)?).ok()?;
        let layer = |kind: &str| manifest.layers.iter().find(|layer| layer.is(kind));
        let text = |kind: &str| layer(kind).and_then(|layer| layer.text(store)).unwrap_or_default();
        let json = |text: &str| serde_json::from_str(text).unwrap_or_default();
        let weights = layer("model").and_then(|layer| layer.path(store));
        Some(Blobs {
            size: manifest
                .layers
                .iter()
                .filter(|layer| layer.is("model") || layer.is("projector"))
                .map(|one| one.size)
                .sum(),
            weights: weights.filter(|path| fs::metadata(path).is_ok()),
            template: text("template"),
            config: json(&manifest.config.text(store).unwrap_or_default()),
            parameters: json(&text("params")),
        })
    }

    /// Whether it runs on somebody else's servers.
    pub fn is_remote(&self) -> bool {
        self.config["remote_host"].as_str().is_some_and(|host| !host.is_empty())
    }

    /// Tokens that its Modelfile fixes, which no setting of the server's changes.
    pub fn fixed_context(&self) -> Option<u32> {
        u32::try_from(self.parameters["num_ctx"].as_u64()?).ok()
    }

    /// Whether it can call tools and think, as Ollama finds out; `None` where only its chat template in the GGUF file
    /// can tell.
    pub fn abilities(&self) -> Option<(bool, bool)> {
        // Some have a renderer and a parser built into Ollama, all of which know both.
        if self.config["parser"].as_str().is_some_and(|parser| !parser.is_empty()) {
            return Some((true, true));
        }
        // One without tools gives way to a chat template in the GGUF file that has them (seen in 0.32).
        let thinks = self.template.contains(".Thinking") || self.template.contains("<think>");
        self.template.contains(".Tools").then_some((true, thinks))
    }
}

/// Where the manifest of a model lies, under the name as the store spells it.
fn manifest(store: &Path, model: &str) -> Option<PathBuf> {
    let (name, tag) =
        store::find(store, model)?.rsplit_once(':').map(|(name, tag)| (name.to_owned(), tag.to_owned()))?;
    let full = match name.split('/').count() {
        1 => format!("registry.ollama.ai/library/{name}"),
        2 => format!("registry.ollama.ai/{name}"),
        _ => name,
    };
    Some(store.join("manifests").join(full).join(tag))
}
