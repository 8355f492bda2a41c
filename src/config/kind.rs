//! The kinds of backend that the configuration can select.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of backend, serialized by its name in the configuration. `backend` implements each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Ollama,
    LmStudio,
    LlamaCpp,
    Command,
    Endpoint,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Kind; 5] = [Self::Ollama, Self::LmStudio, Self::LlamaCpp, Self::Command, Self::Endpoint];

    /// The names of all kinds, for messages.
    pub(crate) const NAMES: &str = "ollama, lmstudio, llamacpp, command, endpoint";

    /// Returns the kind that the configuration calls `name`.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Returns its name in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::LmStudio => "lmstudio",
            Self::LlamaCpp => "llamacpp",
            Self::Command => "command",
            Self::Endpoint => "endpoint",
        }
    }

    /// Returns the key that the user must set before this kind can be used, or `None` if it needs no configuration.
    pub(crate) fn required_key(self) -> Option<&'static str> {
        match self {
            Self::Command => Some("command.run"),
            Self::Endpoint => Some("endpoint.url"),
            _ => None,
        }
    }

    /// Returns whether it runs a program that may download or load any model name it is given.
    pub(crate) fn loads_any_name(self) -> bool {
        self == Self::Command
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn messages_name_every_kind() {
        assert_eq!(Kind::ALL.map(Kind::name).join(", "), Kind::NAMES);
        assert!(Kind::ALL.into_iter().all(|kind| Kind::from_name(kind.name()) == Some(kind)));
    }
}
