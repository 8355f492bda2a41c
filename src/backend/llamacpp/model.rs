//! Which model files llama-server is to load, found and looked at before anything starts.

use crate::base::environment::Environment;
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use super::cache;
use crate::{
    base::error::{Code, Failure, Result},
    config::{Settings, Source},
};

/// What is used where nobody names a model: the quantisation that most machines can hold.
pub const DEFAULT_MODEL: &str = "unsloth/GLM-4.7-Flash-GGUF:Q4_K_M";

pub enum Model {
    File(PathBuf),
    /// `user/repo[:quant]` on Hugging Face; llama-server fetches it into its own cache.
    HuggingFace(String),
}

impl Model {
    /// What it is served as.
    pub fn name(&self) -> String {
        match self {
            Model::File(path) => served_name(path),
            Model::HuggingFace(name) => name.clone(),
        }
    }

    /// What a preset calls it.
    pub fn preset_key(&self) -> (&'static str, String) {
        match self {
            Model::File(path) => ("model", path.display().to_string()),
            Model::HuggingFace(name) => ("hf-repo", name.clone()),
        }
    }
}

/// The model of the general settings first, then those that tiers have of their own; each once.
/// # Errors
/// `Config` or `Usage` when one is missing or cannot be a model.
pub fn models(settings: &Settings, environment: &Environment) -> Result<Vec<Model>> {
    let mut models = vec![model(settings, environment)?];
    for (key, name) in settings.tier_models() {
        let source = settings.source(key);
        let found = named(settings, key, name, &source, environment)?;
        match models.iter().find(|model| model.name() == found.name()) {
            None => models.push(found),
            Some(same) if same.preset_key() == found.preset_key() => {}
            Some(same) => {
                return Err(Failure::new(source.code(), format!("two models are called {}", found.name()))
                    .why(format!("{} and {} have the same name", same.preset_key().1, found.preset_key().1))
                    .help("rename one of the files, or give a link to it another name"));
            }
        }
    }
    Ok(models)
}

/// Those of `names`, as they are served, that llama-server would have to download.
pub fn to_be_downloaded(names: &[String], environment: &Environment) -> Vec<String> {
    // The name of a file never has a slash.
    names.iter().filter(|name| name.contains('/') && !cache::is_cached(name, environment)).cloned().collect()
}

/// The failure where nobody names a model and the default is not wanted.
pub fn none_chosen() -> Failure {
    Failure::new(Code::Config, "no model is chosen for llama.cpp")
        .why(format!("llama-server needs a GGUF file or a Hugging Face name, and {DEFAULT_MODEL} is not here yet"))
        .help("lclaude --backend llamacpp --model /path/to/model.gguf")
        .help("or lclaude local setup, step by step")
        .help(format!("or lclaude --backend llamacpp --yes, which downloads {DEFAULT_MODEL}, 18.5 GB"))
        .help("or in the configuration: [llamacpp] gguf = \"/path/to/model.gguf\", or hf = \"user/repo:quant\"")
}

/// The later of `model` and `[llamacpp] gguf` or `hf` decides; written in the same place, the special one does.
fn model(settings: &Settings, environment: &Environment) -> Result<Model> {
    let own = [
        settings.llamacpp.gguf.as_ref().map(|_| "llamacpp.gguf"),
        settings.llamacpp.hf.as_ref().map(|_| "llamacpp.hf"),
    ];
    let own = own.into_iter().flatten().max_by_key(|key| settings.source(key));
    let general = settings.model.as_deref().map(|name| (name, settings.source("model")));
    match (own, general) {
        (Some(key), Some((_, general))) if settings.source(key) >= general => own_model(settings, key, environment),
        (_, Some((name, source))) => named(settings, "model", name, &source, environment),
        (Some(key), None) => own_model(settings, key, environment),
        (None, None) => Ok(Model::HuggingFace(DEFAULT_MODEL.into())),
    }
}

fn own_model(settings: &Settings, key: &str, _environment: &Environment) -> Result<Model> {
    let source = settings.source(key);
    match (&settings.llamacpp.gguf, &settings.llamacpp.hf) {
        (Some(gguf), _) if key == "llamacpp.gguf" => gguf_file(gguf, &source),
        (_, Some(hf)) if is_hugging_face(hf) => Ok(Model::HuggingFace(hf.clone())),
        (_, hf) => Err(Failure::new(
            source.code(),
            format!("{:?} is not a Hugging Face model", hf.as_deref().unwrap_or_default()),
        )
        .why(format!("{source} sets it as [llamacpp] hf"))
        .help("write it as hf = \"user/repo\" or hf = \"user/repo:quant\"")),
    }
}

fn named(settings: &Settings, key: &str, name: &str, source: &Source, environment: &Environment) -> Result<Model> {
    let path = settings.model_path(key, name, environment);
    // A name without the user's word is never a path.
    if !settings.is_untrusted(key) && (name.to_lowercase().ends_with(".gguf") || path.is_dir()) {
        return gguf_file(&path, source);
    }
    if is_hugging_face(name) {
        return Ok(Model::HuggingFace(name.into()));
    }
    if let Some(gguf) = &settings.llamacpp.gguf
        && served_name(gguf) == name
    {
        return gguf_file(gguf, &settings.source("llamacpp.gguf"));
    }
    Err(Failure::new(source.code(), format!("llama.cpp has no model named {name:?}"))
        .why(format!("{source} asks for it; llama-server knows GGUF files and Hugging Face names"))
        .help("--model /path/to/model.gguf, or --model user/repo:quant"))
}

fn is_hugging_face(name: &str) -> bool {
    let (repo, quant) = name.split_once(':').unwrap_or((name, "any"));
    let word = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    repo.split_once('/').is_some_and(|(user, repo)| word(user) && word(repo)) && word(quant)
}

/// Finds out before anything starts what a look at the file's first bytes can tell.
fn gguf_file(path: &Path, source: &Source) -> Result<Model> {
    let failed = |what: &str, why: String| {
        Failure::new(source.code(), format!("{} {what}", path.display())).why(format!("{source} names it: {why}"))
    };
    let path = path.canonicalize().map_err(|error| {
        failed("cannot be used as a model", error.to_string()).help(format!("ls -l {}", path.display()))
    })?;
    if path.to_str().is_none() {
        return Err(failed("cannot be used as a model", "llama-server is told its path, and that is not UTF-8".into())
            .help("mv it to a directory whose name is"));
    }
    if path.is_dir() {
        return Err(failed("is a directory", "llama-server needs one file".into())
            .help(format!("find {} -name '*.gguf', and name one of those", path.display())));
    }
    if !path.is_file() {
        return Err(failed("is not a file", "a pipe or device cannot be a model".into())
            .help(format!("ls -l {}", path.display())));
    }
    let mut magic = Vec::new();
    fs::File::open(&path)
        .and_then(|file| file.take(4).read_to_end(&mut magic))
        .map_err(|error| failed("cannot be read", error.to_string()).help(format!("chmod u+r {}", path.display())))?;
    if magic != b"GGUF" {
        return Err(failed("is not a GGUF model", "it does not begin with the letters GGUF".into()).help(
            "download the model again; a file of a few hundred bytes is often a Git LFS pointer or an error page",
        ));
    }
    Ok(Model::File(path))
}

/// The file's name without its ending, in the characters a model's name may have.
pub fn served_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() || "._:-".contains(c) { c } else { '-' }).collect();
    match name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()) {
        "" => "model".into(),
        name => name.into(),
    }
}
