//! A model as `lclaude local models` lists it.

use std::path::Path;

use crate::memory::{self, Layout, gguf::Header};

/// A model that a backend has. `None` stands for what cannot be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// As it is written after `--model`.
    pub name: String,
    /// As Claude Code asks for it.
    pub served: String,
    pub size: Option<u64>,
    pub quantisation: Option<String>,
    /// Tokens it was trained for.
    pub trained: Option<u32>,
    pub tools: Option<bool>,
    pub thinking: Option<bool>,
    /// What it takes of memory; none for one that runs elsewhere.
    pub model: Option<memory::Model>,
    /// What is wrong with it.
    pub problem: Option<String>,
}

impl Listed {
    /// A model of which nothing is known but its name.
    pub fn named(name: &str) -> Self {
        Listed {
            name: name.to_owned(),
            served: name.to_owned(),
            size: None,
            quantisation: None,
            trained: None,
            tools: None,
            thinking: None,
            model: None,
            problem: None,
        }
    }

    /// The same with what its GGUF file says.
    #[must_use]
    pub fn with_file(self, file: &Path, layout: Layout) -> Self {
        let header = match Header::read(file) {
            Ok(header) => header,
            Err(error) => {
                let problem = format!("{} cannot be read as a model: {error}", file.display());
                return Listed { problem: Some(problem), ..self };
            }
        };
        let model = memory::Model::of(self.name.clone(), &header, file, layout);
        let template = header.text("tokenizer.chat_template");
        Listed {
            size: memory::gguf::size(file),
            quantisation: header.quantisation().map(str::to_owned),
            trained: model.shape.as_ref().and_then(|shape| shape.trained),
            tools: template.map(|template| template.contains("tools")),
            thinking: template.map(thinks),
            model: Some(model),
            ..self
        }
    }
}

/// Whether a model thinks, by what the templates of such models have in common; llama-server does not say it in so many
/// words.
pub fn thinks(template: &str) -> bool {
    ["enable_thinking", "<think>"].iter().any(|mark| template.contains(mark))
}
