//! A model as `lclaude local models` lists it.

use std::path::Path;

use crate::memory::{self, Layout, gguf::Header};

/// A model that a backend has. `None` stands for unknown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ListedModel {
    /// The name to write after `--model`.
    pub name: String,
    /// The name in Claude Code's requests.
    pub served: String,
    /// Bytes.
    pub size: Option<u64>,
    pub quantization: Option<String>,
    /// Tokens it was trained for.
    pub trained: Option<u32>,
    pub tools: Option<bool>,
    pub thinking: Option<bool>,
    /// Its memory use; `None` for a model that runs elsewhere.
    pub model: Option<memory::ModelMemory>,
    /// Why it can't be used.
    pub problem: Option<String>,
}

impl ListedModel {
    /// Returns a model of which only the name is known.
    pub(crate) fn named(name: &str) -> Self {
        ListedModel {
            name: name.to_owned(),
            served: name.to_owned(),
            size: None,
            quantization: None,
            trained: None,
            tools: None,
            thinking: None,
            model: None,
            problem: None,
        }
    }

    /// Returns the model with the details from its GGUF file.
    #[must_use]
    pub(crate) fn with_file(self, file: &Path, layout: Layout) -> Self {
        let header = match Header::read(file) {
            Ok(header) => header,
            Err(error) => {
                let problem = format!("{} is not a readable GGUF file: {error}", file.display());
                return ListedModel { problem: Some(problem), ..self };
            }
        };
        let model = memory::ModelMemory::of(self.name.clone(), &header, file, layout);
        let template = header.text("tokenizer.chat_template");
        ListedModel {
            size: memory::gguf::size(file),
            quantization: header.quantization().map(str::to_owned),
            trained: model.shape.as_ref().and_then(|shape| shape.trained),
            tools: template.map(|template| template.contains("tools")),
            thinking: template.map(thinks),
            model: Some(model),
            ..self
        }
    }
}

/// Returns whether a chat template belongs to a thinking model. llama-server doesn't report that, so this looks for
/// what such templates have in common.
pub(crate) fn thinks(template: &str) -> bool {
    ["enable_thinking", "<think>"].iter().any(|mark| template.contains(mark))
}
