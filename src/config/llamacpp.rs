//! `[llamacpp]`: llama-server's options, named after its long flags.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// `[llamacpp]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LlamaCppSettings {
    /// The path of `llama-server`, or of `llama`.
    pub path: Option<PathBuf>,
    pub gguf: Option<PathBuf>,
    pub hf: Option<String>,
    /// The main model's image projector.
    pub mmproj: Option<PathBuf>,
    /// A small model that drafts for the main one.
    pub draft_model: Option<PathBuf>,
    /// The main model's chat template, a Jinja file.
    pub chat_template_file: Option<PathBuf>,
    pub threads: Option<u32>,
    pub batch_size: Option<u32>,
    pub ubatch_size: Option<u32>,
    /// A number, or llama-server's `auto` or `all`.
    pub gpu_layers: Option<GpuLayers>,
    /// The layers whose experts stay in RAM.
    pub n_cpu_moe: Option<u32>,
    pub split_mode: Option<SplitMode>,
    pub tensor_split: Option<TensorSplit>,
    pub main_gpu: Option<u32>,
    pub flash_attention: Option<FlashAttention>,
    pub cache_type_k: Option<String>,
    pub cache_type_v: Option<String>,
    pub sampling: Sampling,
    pub args: Vec<String>,
    /// Added to `args`. All layers of the configuration add to it, while the last `args` replaces the others.
    pub args_append: Vec<String>,
    pub env: BTreeMap<String, String>,
}

impl LlamaCppSettings {
    /// Returns the arguments that are passed on unchanged. They come last on the command line, so they override the other
    /// keys.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = &String> {
        self.args.iter().chain(&self.args_append)
    }

    /// Returns the files of the main model, each with its key and llama-server's option for it.
    pub(crate) fn model_files(&self) -> impl Iterator<Item = (&'static str, &'static str, &Path)> {
        let files = [
            ("llamacpp.mmproj", "--mmproj", &self.mmproj),
            ("llamacpp.draft_model", "--model-draft", &self.draft_model),
            ("llamacpp.chat_template_file", "--chat-template-file", &self.chat_template_file),
        ];
        files.into_iter().filter_map(|(key, option, path)| Some((key, option, path.as_deref()?)))
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum GpuLayers {
    Number(u32),
    Word(String),
}

impl fmt::Display for GpuLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GpuLayers::Number(number) => number.fmt(f),
            GpuLayers::Word(word) => word.fmt(f),
        }
    }
}

/// How a model is divided among several graphics cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SplitMode {
    None,
    Layer,
    Row,
    Tensor,
}

impl SplitMode {
    /// Returns its name, as in the configuration and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            SplitMode::None => "none",
            SplitMode::Layer => "layer",
            SplitMode::Row => "row",
            SplitMode::Tensor => "tensor",
        }
    }
}

/// Each graphics card's part of the model, as llama-server reads it: `3,1`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub(crate) struct TensorSplit(pub String);

impl TryFrom<toml::Value> for TensorSplit {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        let parts: Option<Vec<f64>> = match &value {
            toml::Value::Array(parts) => parts.iter().map(number).collect(),
            toml::Value::String(text) => text.split(',').map(|part| part.trim().parse().ok()).collect(),
            _ => None,
        };
        let is_part = |part: &f64| part.is_finite() && *part >= 0.0;
        match parts {
            Some(parts) if parts.iter().all(is_part) && parts.iter().any(|part| *part > 0.0) => {
                Ok(TensorSplit(parts.iter().map(f64::to_string).collect::<Vec<_>>().join(",")))
            }
            _ => Err(format!("expected the parts of the graphics cards, such as [3, 1], found {value}")),
        }
    }
}

fn number(value: &toml::Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|number| number as f64))
}

/// Whether llama-server uses flash attention; by default it decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub(crate) enum FlashAttention {
    On,
    Off,
    Auto,
}

impl FlashAttention {
    /// Returns its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            FlashAttention::On => "on",
            FlashAttention::Off => "off",
            FlashAttention::Auto => "auto",
        }
    }
}

impl TryFrom<toml::Value> for FlashAttention {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::Boolean(is_on) => Ok(if is_on { FlashAttention::On } else { FlashAttention::Off }),
            toml::Value::String(word) if word == "on" => Ok(FlashAttention::On),
            toml::Value::String(word) if word == "off" => Ok(FlashAttention::Off),
            toml::Value::String(word) if word == "auto" => Ok(FlashAttention::Auto),
            other => Err(format!("expected \"on\", \"off\", \"auto\", true or false, found {other}")),
        }
    }
}

/// `[llamacpp.sampling]`: what llama-server uses for a request that doesn't set it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sampling {
    pub temperature: Option<f64>,
    pub top_k: Option<u32>,
    pub top_p: Option<f64>,
    pub min_p: Option<f64>,
    pub repeat_penalty: Option<f64>,
    pub presence_penalty: Option<f64>,
    pub frequency_penalty: Option<f64>,
    pub seed: Option<u32>,
}

impl Sampling {
    /// Returns the options that are set, with their values.
    pub(crate) fn options(&self) -> Vec<(&'static str, String)> {
        let decimals = [
            ("--temperature", self.temperature),
            ("--top-p", self.top_p),
            ("--min-p", self.min_p),
            ("--repeat-penalty", self.repeat_penalty),
            ("--presence-penalty", self.presence_penalty),
            ("--frequency-penalty", self.frequency_penalty),
        ];
        let decimals = decimals.into_iter().filter_map(|(name, value)| Some((name, value?.to_string())));
        let wholes = [("--top-k", self.top_k), ("--seed", self.seed)];
        decimals.chain(wholes.into_iter().filter_map(|(name, value)| Some((name, value?.to_string())))).collect()
    }
}
