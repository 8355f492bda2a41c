//! What a ready backend really has, as opposed to what it was asked for.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Served {
    /// Where it is reached, if that was not known before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Tokens; with several models the smallest, since Claude Code knows only one number.
    pub context: u32,
    /// The model that has this context.
    pub of: String,
    /// Tokens it was trained for, where that is known.
    pub trained: Option<u32>,
    /// Whether the models' chat templates know tools; without, Claude Code can only talk.
    pub tools: bool,
    /// Whether the main model can be told to think.
    pub thinking: bool,
    /// What gives it more context, where the backend knows better than that more has to be asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_context: Option<String>,
    /// What else the user should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Served {
    /// Nothing yet, and no model that could not call tools.
    pub fn new() -> Self {
        Served { tools: true, ..Served::default() }
    }

    /// Takes note of one model's context, in tokens. Of models with equal ones the main one counts, which is `plan`'s first.
    pub fn grant(&mut self, model: &str, context: u32, trained: Option<u32>) {
        if self.of.is_empty() || context < self.context {
            (self.of, self.context, self.trained) = (model.to_owned(), context, trained);
        }
    }

    /// The three numbers of a context, in tokens, when `asked` were asked for.
    pub fn contexts(&self, asked: u32) -> String {
        let trained = self.trained.map(|trained| format!(", trained for {trained}")).unwrap_or_default();
        format!("a context of {} tokens granted, {asked} asked{trained}", self.context)
    }
}
