//! The record of the user's files before a session.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::transcripts::Choice;

/// The user's files before a session, and what tells the session's changes from others.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub settings: PathBuf,
    /// `.claude.json`.
    pub state: PathBuf,
    /// The directory of Claude Code's transcripts.
    pub projects: PathBuf,
    /// When the session started (RFC 3339).
    pub since: String,
    /// Claude Code's aliases, each with the model it means in the session.
    pub aliases: Vec<(String, String)>,
    /// The text of the settings file, or `None` if there was none.
    pub text: Option<String>,
    /// The flags of `.claude.json`.
    pub flags: Map<String, Value>,
}

impl Record {
    /// Returns whether `name` is a model of the session's backend.
    pub(super) fn is_model(&self, name: &str) -> bool {
        self.aliases.iter().any(|(_, model)| model == name)
    }

    /// Returns whether `choice`, as the session shows it, is saved as `value`.
    pub(super) fn is_saved_as(&self, choice: &Choice, value: Option<&str>) -> bool {
        match value {
            None => choice.is_default,
            Some(value) => {
                let alias = self.aliases.iter().any(|(alias, model)| alias == value && *model == choice.model);
                !choice.is_default && (alias || value == choice.model)
            }
        }
    }
}
