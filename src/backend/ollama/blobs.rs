//! The files of an installed model, which its manifest in the store lists.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use super::store;
use crate::base::disk;

/// The most bytes read of a manifest, configuration or template. Real ones have a few kilobytes.
const LONGEST: u64 = 1024 * 1024;

/// The files of one model in a store.
pub(crate) struct Blobs {
    /// Bytes of the weights, including an image projector.
    pub size: u64,
    /// The GGUF file; `None` for a model that runs elsewhere.
    pub weights: Option<PathBuf>,
    template: String,
    config: Value,
    parameters: Value,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    config: ManifestLayer,
    #[serde(default)]
    layers: Vec<ManifestLayer>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ManifestLayer {
    media_type: String,
    digest: String,
    size: u64,
}

impl ManifestLayer {
    fn is(&self, kind: &str) -> bool {
        self.media_type == format!("application/vnd.ollama.image.{kind}")
    }

    /// Returns the file's path, or `None` for an invalid digest, so that no manifest can point outside the store.
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
    /// Returns the model's files, or `None` if it isn't in this store or its manifest can't be read.
    pub(crate) fn of(store: &Path, model: &str) -> Option<Self> {
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
                .fold(0, u64::saturating_add),
            weights: weights.filter(|path| fs::metadata(path).is_ok()),
            template: text("template"),
            config: json(&manifest.config.text(store).unwrap_or_default()),
            parameters: json(&text("params")),
        })
    }

    /// Returns whether it runs on a remote server.
    pub(crate) fn is_remote(&self) -> bool {
        self.config["remote_host"].as_str().is_some_and(|host| !host.is_empty())
    }

    /// Returns the context in tokens that its Modelfile sets, which overrides the server's settings.
    pub(crate) fn fixed_context(&self) -> Option<u32> {
        u32::try_from(self.parameters["num_ctx"].as_u64()?).ok()
    }

    /// Returns whether it supports tools and thinking, by Ollama's own rules, or `None` if only the chat template in
    /// the GGUF file can tell.
    pub(crate) fn abilities(&self) -> Option<(bool, bool)> {
        // Ollama's built-in renderers and parsers all support both.
        if self.config["parser"].as_str().is_some_and(|parser| !parser.is_empty()) {
            return Some((true, true));
        }
        // If the template has no tools, a GGUF chat template with tools takes precedence (seen in 0.32).
        let thinks = self.template.contains(".Thinking") || self.template.contains("<think>");
        self.template.contains(".Tools").then_some((true, thinks))
    }
}

/// Returns the path of a model's manifest, under the store's spelling of the name.
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
