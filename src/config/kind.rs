//! The kinds of backend that a configuration can choose.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of backend, under the name it has in the configuration. What each one does is in `backend`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Ollama,
    LmStudio,
    LlamaCpp,
    Command,
    Endpoint,
}

impl Kind {
    /// The name that the configuration has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::LmStudio => "lmstudio",
            Self::LlamaCpp => "llamacpp",
            Self::Command => "command",
            Self::Endpoint => "endpoint",
        }
    }

    /// The key without which it cannot be used, for a kind that the user has to describe first.
    pub fn required_key(self) -> Option<&'static str> {
        match self {
            Self::Command => Some("command.run"),
            Self::Endpoint => Some("endpoint.url"),
            _ => None,
        }
    }

    /// Whether it runs a program of the user's that may fetch or load whatever model name it is given.
    pub fn loads_any_name(self) -> bool {
        self == Self::Command
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
