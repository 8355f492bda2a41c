//! What llama-server will take of memory, and how much of it prompts may take that it keeps for later.

use crate::base::environment::Environment;
use std::path::PathBuf;

use super::{
    cache,
    model::{DEFAULT_MODEL, Model, models},
};
use crate::{
    backend::listed::Listed,
    base::error::Result,
    config::Settings,
    memory::{self, Estimate, Layout},
};

/// What llama-server keeps of other prompts unless told otherwise, in MiB.
const KEPT: u64 = 8192;
/// Of all memory, the part that such prompts may take.
const SHARE: u64 = 8;
const MEBIBYTE: u64 = 1024 * 1024;

/// What the settings will load, as far as it is here. Reads the models' files, so not while joining a server.
pub fn estimate(settings: &Settings, environment: &Environment) -> Option<Estimate> {
    let layout = layout(settings);
    let models = models(settings, environment).ok()?;
    let of = |model: &Model| match model {
        Model::File(path) => memory::Model::read(model.name(), path, layout.clone()),
        Model::HuggingFace(name) => match cache::find(name, environment) {
            Some(path) => memory::Model::read(model.name(), &path, layout.clone()),
            None if name == DEFAULT_MODEL => memory::Model::glm_4_7_flash(model.name(), layout.clone()),
            None => memory::Model { name: model.name(), weights: None, shape: None, layout: layout.clone() },
        },
    };
    let estimated: Vec<memory::Model> = models.iter().map(of).collect();
    Some(Estimate {
        kept_prompts: kept_prompts(settings, models.len()).saturating_mul(models.len() as u64),
        models: estimated,
        cache_setting: Some("[llamacpp] cache_type_k = \"{}\" and cache_type_v = \"{}\""),
    })
}

/// The models that the settings name, and all that llama-server has fetched before. `asked`: somebody wants to hear why
/// there are none.
///
/// # Errors
/// When what the settings name cannot be used.
pub fn list(settings: &Settings, environment: &Environment, asked: bool) -> Result<Vec<Listed>> {
    let layout = layout(settings);
    let options = &settings.llamacpp;
    let mut files: Vec<(String, String, PathBuf)> = Vec::new();
    // Another backend's model is not one of llama.cpp's.
    let is_named = options.gguf.is_some() || options.hf.is_some() || (asked && settings.model.is_some());
    for model in if is_named { models(settings, environment)? } else { Vec::new() } {
        let found = match &model {
            Model::File(path) => Some((path.display().to_string(), path.clone())),
            Model::HuggingFace(name) => cache::find(name, environment).map(|path| (name.clone(), path)),
        };
        files.extend(found.map(|(name, path)| (name, model.name(), path)));
    }
    for (name, path) in cache::all(environment) {
        if !files.iter().any(|(_, _, known)| *known == path) {
            files.push((name.clone(), name, path));
        }
    }
    let listed = |(name, served, path): (String, String, PathBuf)| Listed {
        served,
        ..Listed::named(&name).with_file(&path, layout.clone())
    };
    Ok(files.into_iter().map(listed).collect())
}

/// How the server is told to lay out its memory.
pub fn layout(settings: &Settings) -> Layout {
    let options = &settings.llamacpp;
    let mut layout = Layout::new(settings.context());
    // The arguments come last, and win.
    let given = |names: &[&str]| argument(&options.args, names).map(str::to_owned);
    if let Some(kind) = given(&["--cache-type-k", "-ctk"]).or(options.cache_type_k.clone()) {
        layout.cache_k = kind;
    }
    if let Some(kind) = given(&["--cache-type-v", "-ctv"]).or(options.cache_type_v.clone()) {
        layout.cache_v = kind;
    }
    let ubatch = given(&["--ubatch-size", "-ub"]).and_then(|size| size.parse().ok()).or(options.ubatch_size);
    layout.ubatch = ubatch.unwrap_or(layout.ubatch).max(1);
    layout.full_window = options.args.iter().any(|argument| argument == "--swa-full");
    layout.flash_attention =
        !given(&["--flash-attn", "-fa"]).is_some_and(|word| matches!(&*word, "off" | "0" | "false"));
    layout
}

/// MiB that prompts may take which llama-server keeps beside the current one: without a limit of ours it is as much as
/// a small machine's whole memory. `None` where its own default will do, or the user says it.
///
/// It depends on nothing that changes from start to start, since sessions share a server only if their plans are equal.
pub fn limit(settings: &Settings, models: usize) -> Option<u64> {
    if argument(&settings.llamacpp.args, &["--cache-ram", "-cram"]).is_some() {
        return None;
    }
    let share = memory::total()? / SHARE / u64::try_from(models).ok()?.max(1) / MEBIBYTE;
    // Rounded, for machines that tell their memory a little differently after each boot.
    let limit = (share / 256 * 256).max(256);
    (limit < KEPT).then_some(limit)
}

/// The same in bytes, whoever says it.
pub fn kept_prompts(settings: &Settings, models: usize) -> u64 {
    let given = argument(&settings.llamacpp.args, &["--cache-ram", "-cram"]).and_then(|size| size.parse::<i64>().ok());
    let size = match given {
        // No limit at all; nobody knows.
        Some(size) => u64::try_from(size).unwrap_or(KEPT),
        None => limit(settings, models).unwrap_or(KEPT),
    };
    size.saturating_mul(MEBIBYTE)
}

/// The value of the last of these options, in either form.
fn argument<'a>(arguments: &'a [String], names: &[&str]) -> Option<&'a str> {
    let at = |(at, argument): (usize, &'a String)| match argument.split_once('=') {
        Some((name, value)) if names.contains(&name) => Some(value),
        _ if names.contains(&&**argument) => arguments.get(at + 1).map(String::as_str),
        _ => None,
    };
    arguments.iter().enumerate().filter_map(at).next_back()
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
    fn arguments_that_change_the_layout_are_understood() {
        let plain = layout(&settings(&[]));
        assert_eq!(plain, Layout::new(settings(&[]).context()));
        let all = ["-ctk", "q8_0", "--cache-type-v", "q4_0", "-ub", "2048", "--swa-full", "-fa", "off"];
        let changed = layout(&settings(&all));
        assert_eq!((&*changed.cache_k, &*changed.cache_v, changed.ubatch), ("q8_0", "q4_0", 2048));
        assert!(changed.full_window && !changed.flash_attention);
        assert!(layout(&settings(&["--flash-attn", "on"])).flash_attention);
    }

    #[test]
    fn what_the_user_says_about_kept_prompts_counts() {
        assert_eq!(limit(&settings(&["--cache-ram", "100"]), 1), None);
        assert_eq!(kept_prompts(&settings(&["-cram", "0"]), 1), 0);
        assert_eq!(kept_prompts(&settings(&["--cache-ram", "100"]), 1), 100 * MEBIBYTE);
    }

    #[test]
    fn kept_prompts_take_no_more_than_their_share() {
        let most = memory::total().expect("a machine has memory") / SHARE;
        assert!(kept_prompts(&settings(&[]), 1) <= most.max(256 * MEBIBYTE));
    }
}
