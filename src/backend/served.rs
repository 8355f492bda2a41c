//! What a ready backend serves, which may differ from what was requested.

use serde::{Deserialize, Serialize};

/// What a ready backend serves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Served {
    /// Its URL, if the plan doesn't know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Tokens: the smallest context of all models, since Claude Code uses a single value.
    pub context: u32,
    /// The model with this context.
    pub of: String,
    /// Tokens that this model was trained for, if known.
    pub trained: Option<u32>,
    /// Whether the models' chat templates support tools, which Claude Code needs to read and write files.
    pub tools: bool,
    /// Whether the main model supports thinking.
    pub thinking: bool,
    /// The help for a context that is too small, if a larger `--context` isn't enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_context: Option<String>,
    /// Other messages for the user.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Served {
    /// Returns a value without models, to which each model is added.
    pub(crate) fn new() -> Self {
        Served { tools: true, ..Served::default() }
    }

    /// Records one model's context in tokens. Of equal contexts the first recorded model counts.
    pub(crate) fn grant(&mut self, model: &str, context: u32, trained: Option<u32>) {
        if self.of.is_empty() || context < self.context {
            (self.of, self.context, self.trained) = (model.to_owned(), context, trained);
        }
    }

    /// Returns a clause with the granted, requested and trained context, in tokens.
    pub(crate) fn contexts(&self, asked: u32) -> String {
        let trained = self.trained.map(|trained| format!(", trained for {trained}")).unwrap_or_default();
        format!("a context of {} tokens granted, {asked} requested{trained}", self.context)
    }
}
