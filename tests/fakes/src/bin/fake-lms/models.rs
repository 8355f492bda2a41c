//! The models on disk and in memory, and the search of `lms load`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A model as the test describes it in `models.json`; only the key is required.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Model {
    pub model_key: String,
    #[serde(rename = "type", default = "llm")]
    pub kind: String,
    #[serde(default = "size")]
    pub size_bytes: u64,
    #[serde(default = "yes")]
    pub trained_for_tool_use: bool,
    #[serde(default = "context")]
    pub max_context_length: u32,
    /// The estimate of `lms load --estimate-only`.
    #[serde(default = "estimate")]
    pub estimated_memory: String,
    /// If false, `lms get` can download it.
    #[serde(default = "yes")]
    pub installed: bool,
    /// The machine that has it, connected by LM Link.
    pub device_identifier: Option<String>,
}

fn llm() -> String {
    "llm".to_owned()
}
fn size() -> u64 {
    4_683_073_248
}
fn context() -> u32 {
    131_072
}
fn estimate() -> String {
    "436.00 MiB".to_owned()
}
fn yes() -> bool {
    true
}

impl Model {
    /// An entry of `lms ls --json`.
    pub fn describe(&self) -> Value {
        let publisher = self.model_key.split_once('/').map_or("lmstudio-community", |(publisher, _)| publisher);
        json!({
            "type": self.kind,
            "modelKey": self.model_key,
            "format": "gguf",
            "displayName": self.model_key.rsplit('/').next(),
            "publisher": publisher,
            "path": self.path(),
            "sizeBytes": self.size_bytes,
            "indexedModelIdentifier": self.path(),
            "paramsString": "8B",
            "architecture": "qwen3",
            "quantization": { "name": "Q4_K_M", "bits": 4 },
            "deviceIdentifier": self.device_identifier,
            "vision": false,
            "trainedForToolUse": self.trained_for_tool_use,
            "maxContextLength": self.max_context_length,
        })
    }

    pub fn path(&self) -> String {
        format!("{0}/{1}.gguf", self.model_key, self.model_key.rsplit('/').next().unwrap_or_default())
    }
}

/// A model in memory.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Loaded {
    pub identifier: String,
    pub model_key: String,
    pub context_length: u32,
    pub ttl_ms: Option<u64>,
    pub parallel: Option<u32>,
    pub device_identifier: Option<String>,
}

impl Loaded {
    /// An entry of `lms ps --json`.
    pub fn describe(&self, model: &Model) -> Value {
        let mut described = model.describe();
        described["identifier"] = json!(self.identifier);
        described["deviceIdentifier"] = json!(self.device_identifier);
        described["ttlMs"] = json!(self.ttl_ms);
        described["lastUsedTime"] = Value::Null;
        described["contextLength"] = json!(self.context_length);
        described["status"] = json!("idle");
        described["queued"] = json!(0);
        described["parallel"] = json!(self.parallel);
        described
    }
}

/// Returns the candidates that contain the letters of `pattern` in this order, best first, like npm's `fuzzy`, which
/// the real program uses. Only an exact match is sure to come first.
pub fn fuzzy<'a>(pattern: &str, candidates: &[&'a str]) -> Vec<&'a str> {
    let mut found: Vec<(u64, &str)> =
        candidates.iter().filter_map(|candidate| Some((score(pattern, candidate)?, *candidate))).collect();
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.into_iter().map(|(_, candidate)| candidate).collect()
}

fn score(pattern: &str, candidate: &str) -> Option<u64> {
    let (pattern, candidate) = (pattern.to_lowercase(), candidate.to_lowercase());
    if pattern == candidate {
        return Some(u64::MAX);
    }
    let mut wanted = pattern.chars().peekable();
    let (mut total, mut run) = (0u64, 0u64);
    for letter in candidate.chars() {
        run = if wanted.next_if_eq(&letter).is_some() { (run * 2 + 1).min(1 << 40) } else { 0 };
        total += run;
    }
    wanted.peek().is_none().then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_in_order_match() {
        let keys = ["qwen/qwen3-4b-thinking", "qwen/qwen3-4b", "zai-org/glm-4.7-flash"];
        assert_eq!(fuzzy("qwen/qwen3-4b", &keys)[0], "qwen/qwen3-4b");
        assert_eq!(fuzzy("qwen3-4", &keys)[0], "qwen/qwen3-4b-thinking");
        assert_eq!(fuzzy("glmflash", &keys), ["zai-org/glm-4.7-flash"]);
        assert!(fuzzy("gemma", &keys).is_empty());
    }
}
