//! Finds the model files that llama-server is to load, and checks them before the start.

use std::path::{Path, PathBuf};

use super::{cache, files};
use crate::{
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        pattern::is_gguf,
    },
    config::{Settings, Source},
    memory::gguf::Header,
};

/// The model if none is configured, in a quantization that fits on most machines.
pub(crate) const DEFAULT_MODEL: &str = "unsloth/GLM-4.7-Flash-GGUF:Q4_K_M";

/// A model to load.
pub(crate) enum ModelSource {
    File(PathBuf),
    /// `user/repo[:quant]` on Hugging Face, which llama-server downloads to its cache.
    HuggingFace(String),
}

impl ModelSource {
    /// Returns the name that it is served by.
    pub(crate) fn name(&self) -> String {
        match self {
            ModelSource::File(path) => served_name(path),
            ModelSource::HuggingFace(name) => name.clone(),
        }
    }

    /// Returns the file, if it is one of the user's own.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            ModelSource::File(path) => Some(path),
            ModelSource::HuggingFace(_) => None,
        }
    }

    /// Returns the key and value that select it in a preset file.
    pub(crate) fn preset_key(&self) -> (&'static str, String) {
        match self {
            ModelSource::File(path) => ("model", path.display().to_string()),
            ModelSource::HuggingFace(name) => ("hf-repo", name.clone()),
        }
    }
}

/// Returns the main model and then the tiers' own models, without duplicates.
///
/// # Errors
/// `Config` or `Usage` if one is missing or isn't a model.
pub(crate) fn models(settings: &Settings, environment: &Environment) -> Result<Vec<ModelSource>> {
    let mut models = vec![model(settings, environment)?];
    for (key, name) in settings.tier_models() {
        let source = settings.source(key);
        let found = named(settings, key, name, &source, environment)?;
        match models.iter().map(|(_, model)| model).find(|model| model.name() == found.name()) {
            None => models.push((key, found)),
            Some(same) if same.preset_key() == found.preset_key() => {}
            Some(same) => {
                return Err(Failure::new(source.code(), format!("two models have the name {}", found.name()))
                    .cause(format!(
                        "{} and {} would be served by the same name",
                        same.preset_key().1,
                        found.preset_key().1
                    ))
                    .help("rename one of the files"));
            }
        }
    }
    if models.len() > 1 {
        let values = models.iter().map(|(key, model)| (*key, model.preset_key().1));
        let files = settings.llamacpp.model_files().map(|(key, _, path)| (key, path.display().to_string()));
        values.chain(files).try_for_each(|(key, value)| files::check_preset_value(settings, key, &value))?;
    }
    Ok(models.into_iter().map(|(_, model)| model).collect())
}

/// Returns those of the served models `names` that llama-server would have to download.
pub(crate) fn to_be_downloaded(names: &[String], environment: &Environment) -> Vec<String> {
    // The served name of a file never contains a slash.
    names.iter().filter(|name| name.contains('/') && !cache::is_cached(name, environment)).cloned().collect()
}

/// Returns the failure if no model is configured and the default isn't downloaded yet.
pub(crate) fn none_chosen() -> Failure {
    Failure::new(Code::Config, "no model is configured for llama.cpp")
        .cause(format!("the default model, {DEFAULT_MODEL}, is not downloaded yet"))
        .help("lclaude --backend llamacpp --model /path/to/model.gguf")
        .help("lclaude local setup  # choose a backend and a model step by step")
        .help("lclaude --backend llamacpp --yes  # downloads the default model, 18.5 GB")
        .help("lclaude local use /path/to/model.gguf")
        .help("lclaude local use user/repo:quant --backend llamacpp")
}

/// Returns the main model and the key that sets it. Of `model` and `[llamacpp] gguf` or `hf`, the one from the later
/// source wins; from the same source, the `[llamacpp]` key wins.
fn model(settings: &Settings, environment: &Environment) -> Result<(&'static str, ModelSource)> {
    let own = [
        settings.llamacpp.gguf.as_ref().map(|_| "llamacpp.gguf"),
        settings.llamacpp.hf.as_ref().map(|_| "llamacpp.hf"),
    ];
    let own = own.into_iter().flatten().max_by_key(|key| settings.source(key));
    let general = settings.model.as_deref().map(|name| (name, settings.source("model")));
    Ok(match (own, general) {
        (Some(key), Some((_, general))) if settings.source(key) >= general => (key, own_model(settings, key)?),
        (_, Some((name, source))) => ("model", named(settings, "model", name, &source, environment)?),
        (Some(key), None) => (key, own_model(settings, key)?),
        (None, None) => ("model", ModelSource::HuggingFace(DEFAULT_MODEL.into())),
    })
}

fn own_model(settings: &Settings, key: &str) -> Result<ModelSource> {
    let source = settings.source(key);
    match (&settings.llamacpp.gguf, &settings.llamacpp.hf) {
        (Some(gguf), _) if key == "llamacpp.gguf" => {
            files::gguf(gguf, &source).map(|()| ModelSource::File(gguf.clone()))
        }
        (_, Some(hf)) if is_hugging_face(hf) => Ok(ModelSource::HuggingFace(hf.clone())),
        (_, hf) => Err(Failure::new(
            source.code(),
            format!("{:?} is not a Hugging Face model", hf.as_deref().unwrap_or_default()),
        )
        .cause(format!("{source} sets it as [llamacpp] hf"))
        .help("lclaude local use user/repo:quant --backend llamacpp")),
    }
}

fn named(
    settings: &Settings,
    key: &str,
    name: &str,
    source: &Source,
    environment: &Environment,
) -> Result<ModelSource> {
    let path = settings.model_path(key, name, environment);
    // A name from an untrusted file is never a path.
    if !settings.is_untrusted(key) && (is_gguf(name) || path.is_dir()) {
        files::gguf(&path, source)?;
        return Ok(ModelSource::File(path));
    }
    if is_hugging_face(name) {
        return Ok(ModelSource::HuggingFace(name.into()));
    }
    if let Some(gguf) = &settings.llamacpp.gguf
        && served_name(gguf) == name
    {
        files::gguf(gguf, &settings.source("llamacpp.gguf"))?;
        return Ok(ModelSource::File(gguf.clone()));
    }
    Err(Failure::new(source.code(), format!("llama.cpp has no model named {name:?}"))
        .cause(format!("{source} sets it, but llama-server needs a GGUF file or a Hugging Face name"))
        .help("lclaude --model /path/to/model.gguf")
        .help("lclaude --model user/repo:quant"))
}

fn is_hugging_face(name: &str) -> bool {
    let (repo, quant) = name.split_once(':').unwrap_or((name, "any"));
    let word = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    repo.split_once('/').is_some_and(|(user, repo)| word(user) && word(repo)) && word(quant)
}

/// Returns the file's name without its extension. If that is a hash, as in the stores of Ollama and Hugging Face,
/// returns the name in the file's header instead, or else the beginning of the hash.
pub(crate) fn served_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let Some(hash) = hash_in(&stem) else {
        return plain_name(&stem);
    };
    let header = Header::read(path).unwrap_or_default();
    match header.text("general.name").filter(|name| hash_in(name).is_none()) {
        Some(name) => {
            let name: String = name.chars().take(MAX_HEADER_NAME).collect();
            let quantization = header.quantization().map(|quantization| format!("-{quantization}"));
            plain_name(&(name + &quantization.unwrap_or_default()))
        }
        None => format!("model-{}", &hash[..SHORT_HASH]),
    }
}

/// The longest name taken from a file's header, in characters.
const MAX_HEADER_NAME: usize = 64;
const SHORT_HASH: usize = 12;

/// Returns the hash that a name consists of: 32 or more hex digits, after `sha256-` in Ollama's store.
fn hash_in(name: &str) -> Option<&str> {
    let hash = name.strip_prefix("sha256-").unwrap_or(name);
    (hash.len() >= 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hash)
}

/// Returns the name with the characters that a model name can't have replaced by `-`.
fn plain_name(name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._:-".contains(c) { c } else { '-' }).collect();
    match name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()) {
        "" => "model".into(),
        name => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn name_is_never_a_hash() {
        let dir = tempfile::tempdir().expect("a directory");
        let (hash, file) = ("0123456789abcdef".repeat(4), |name: &str| dir.path().join(name));
        assert_eq!(served_name(&file("Qwen 3;#\n.gguf")), "Qwen-3---");
        for name in [hash.clone(), format!("sha256-{hash}"), format!("{hash}.gguf")] {
            assert_eq!(served_name(&file(&name)), "model-0123456789ab", "{name}");
            // Version 3, no tensors, one key with a string.
            let mut header = b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0".to_vec();
            let mut text = |text: &str| {
                header.extend((text.len() as u64).to_le_bytes());
                header.extend(text.as_bytes());
                text.contains('.').then(|| header.extend(8_u32.to_le_bytes()));
            };
            ["general.name", "Tiny\x1b Model"].into_iter().for_each(&mut text);
            header.extend(17_u64.to_le_bytes());
            header.extend(b"general.file_type\x04\0\0\0\x0f\0\0\0");
            fs::write(file(&name), header).expect("a file");
            assert_eq!(served_name(&file(&name)), "Tiny--Model-Q4_K_M", "{name}");
        }
        assert_eq!(served_name(&file("deadbeef.gguf")), "deadbeef");
    }
}
