//! Estimates llama-server's memory, and limits its cache of earlier prompts.

use std::path::PathBuf;

use super::{
    cache,
    model::{DEFAULT_MODEL, ModelSource, models},
};
use crate::{
    backend::listed::ListedModel,
    base::{environment::Environment, error::Result},
    config::{FlashAttention, LlamaCppSettings, Settings},
    memory::{self, Estimate, Layout, gguf},
};

/// llama-server's default limit of cached prompts, in MiB.
const DEFAULT_CACHE_MIB: u64 = 8192;
/// Cached prompts may take this fraction of the memory: one eighth.
const MEMORY_DIVISOR: u64 = 8;
const MEBIBYTE: u64 = 1024 * 1024;

/// Returns the memory that the configured models need. Don't call it to join a running server, since it reads the
/// models' files.
pub(crate) fn estimate(settings: &Settings, environment: &Environment) -> Option<Estimate> {
    let layout = layout(settings);
    let models = models(settings, environment).ok()?;
    let of = |model: &ModelSource| match model {
        ModelSource::File(path) => memory::ModelMemory::read(model.name(), path, layout.clone()),
        ModelSource::HuggingFace(name) => match cache::find(name, environment) {
            Some(path) => memory::ModelMemory::read(model.name(), &path, layout.clone()),
            None if name == DEFAULT_MODEL => memory::ModelMemory::glm_4_7_flash(model.name(), layout.clone()),
            None => memory::ModelMemory { name: model.name(), weights: None, shape: None, layout: layout.clone() },
        },
    };
    let mut estimated: Vec<memory::ModelMemory> = models.iter().map(of).collect();
    let options = &settings.llamacpp;
    if let (Some(projector), Some(main)) = (&options.mmproj, estimated.first_mut()) {
        main.weights = main.weights.zip(gguf::size(projector)).map(|(model, more)| model.saturating_add(more));
    }
    if let Some(draft) = &options.draft_model {
        // It has the same context, and a cache of llama-server's default types.
        estimated.push(memory::ModelMemory::read("its draft model".into(), draft, Layout::new(settings.context())));
    }
    Some(Estimate {
        kept_prompts: kept_prompts(settings, models.len()).saturating_mul(models.len() as u64),
        models: estimated,
        cache_setting: Some("[llamacpp] cache_type_k = \"{}\" and cache_type_v = \"{}\""),
    })
}

/// Returns the configured models and all models in llama-server's cache. `asked` is whether the user selected this
/// backend, so that `model` names one of its models.
///
/// # Errors
/// `Config` or `Usage` if a configured model can't be used.
pub(crate) fn list(settings: &Settings, environment: &Environment, asked: bool) -> Result<Vec<ListedModel>> {
    let layout = layout(settings);
    let options = &settings.llamacpp;
    let mut files: Vec<(String, String, PathBuf)> = Vec::new();
    // Otherwise `model` may name another backend's model.
    let is_named = options.gguf.is_some() || options.hf.is_some() || (asked && settings.model.is_some());
    for model in if is_named { models(settings, environment)? } else { Vec::new() } {
        let found = match &model {
            ModelSource::File(path) => Some((path.display().to_string(), path.clone())),
            ModelSource::HuggingFace(name) => cache::find(name, environment).map(|path| (name.clone(), path)),
        };
        files.extend(found.map(|(name, path)| (name, model.name(), path)));
    }
    for (name, path) in cache::all(environment) {
        if !files.iter().any(|(_, _, known)| *known == path) {
            files.push((name.clone(), name, path));
        }
    }
    let listed = |(name, served, path): (String, String, PathBuf)| ListedModel {
        served,
        ..ListedModel::named(&name).with_file(&path, layout.clone())
    };
    Ok(files.into_iter().map(listed).collect())
}

/// Returns the memory layout that the settings give.
pub(crate) fn layout(settings: &Settings) -> Layout {
    let options = &settings.llamacpp;
    let mut layout = Layout::new(settings.context());
    // `args` come last on the command line, so they override the other settings.
    let given = |names: &[&str]| argument(options, names).map(str::to_owned);
    if let Some(kind) = given(&["--cache-type-k", "-ctk"]).or(options.cache_type_k.clone()) {
        layout.cache_k = kind;
    }
    if let Some(kind) = given(&["--cache-type-v", "-ctv"]).or(options.cache_type_v.clone()) {
        layout.cache_v = kind;
    }
    let ubatch = given(&["--ubatch-size", "-ub"]).and_then(|size| size.parse().ok()).or(options.ubatch_size);
    layout.ubatch = ubatch.unwrap_or(layout.ubatch).max(1);
    layout.full_window = options.arguments().any(|argument| argument == "--swa-full");
    layout.flash_attention = match given(&["--flash-attn", "-fa"]) {
        Some(word) => !matches!(&*word, "off" | "0" | "false" | "disabled"),
        None => options.flash_attention != Some(FlashAttention::Off),
    };
    layout
}

/// Returns the limit of cached prompts in MiB, or `None` if llama-server's default fits or the user sets one. The
/// default can be as large as a small machine's whole memory.
///
/// The limit must be the same at each start, since sessions share a server only if their plans are equal.
pub(crate) fn limit(settings: &Settings, models: usize) -> Option<u64> {
    if argument(&settings.llamacpp, &["--cache-ram", "-cram"]).is_some() {
        return None;
    }
    let share = memory::total_ram()? / MEMORY_DIVISOR / u64::try_from(models).ok()?.max(1) / MEBIBYTE;
    // Rounded, since the reported memory size can vary slightly between boots.
    let limit = (share / 256 * 256).max(256);
    (limit < DEFAULT_CACHE_MIB).then_some(limit)
}

/// Returns the effective limit of cached prompts in bytes.
pub(crate) fn kept_prompts(settings: &Settings, models: usize) -> u64 {
    let given = argument(&settings.llamacpp, &["--cache-ram", "-cram"]).and_then(|size| size.parse::<i64>().ok());
    let size = match given {
        // A negative size means no limit; the default is the best guess.
        Some(size) => u64::try_from(size).unwrap_or(DEFAULT_CACHE_MIB),
        None => limit(settings, models).unwrap_or(DEFAULT_CACHE_MIB),
    };
    size.saturating_mul(MEBIBYTE)
}

/// Returns the value of the last of these options, as `--name value` or `--name=value`.
fn argument<'a>(options: &'a LlamaCppSettings, names: &[&str]) -> Option<&'a str> {
    let mut found = None;
    let mut arguments = options.arguments().peekable();
    while let Some(argument) = arguments.next() {
        match argument.split_once('=') {
            Some((name, value)) if names.contains(&name) => found = Some(value),
            _ if names.contains(&&**argument) => found = arguments.peek().map(|value| value.as_str()).or(found),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(args: &[&str]) -> Settings {
        let mut settings = Settings::default();
        settings.llamacpp.args = args.iter().map(|&argument| argument.to_owned()).collect();
        settings
    }

    #[test]
    fn layout_follows_arguments() {
        let plain = layout(&settings(&[]));
        assert_eq!(plain, Layout::new(settings(&[]).context()));
        let all = ["-ctk", "q8_0", "--cache-type-v", "q4_0", "-ub", "2048", "--swa-full", "-fa", "off"];
        let changed = layout(&settings(&all));
        assert_eq!((&*changed.cache_k, &*changed.cache_v, changed.ubatch), ("q8_0", "q4_0", 2048));
        assert!(changed.full_window && !changed.flash_attention);
        let mut off = settings(&[]);
        off.llamacpp.flash_attention = Some(FlashAttention::Off);
        assert!(!layout(&off).flash_attention);
        // `args` come last.
        off.llamacpp.args_append = vec!["--flash-attn=on".into()];
        assert!(layout(&off).flash_attention);
    }

    #[test]
    fn prompt_cache_argument_overrides_the_limit() {
        assert_eq!(limit(&settings(&["--cache-ram", "100"]), 1), None);
        assert_eq!(kept_prompts(&settings(&["-cram", "0"]), 1), 0);
        assert_eq!(kept_prompts(&settings(&["--cache-ram", "100"]), 1), 100 * MEBIBYTE);
    }

    #[test]
    fn prompt_cache_is_limited_to_its_share_of_memory() {
        let most = memory::total_ram().expect("a machine has memory") / MEMORY_DIVISOR;
        assert!(kept_prompts(&settings(&[]), 1) <= most.max(256 * MEBIBYTE));
    }
}
