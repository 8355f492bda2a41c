//! The kinds of backend that the configuration can select.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The names of all kinds, for messages.
pub(crate) const KIND_NAMES: &str = "ollama, lmstudio, llamacpp, command, endpoint";

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
    const ALL: [Kind; 5] = [Self::Ollama, Self::LmStudio, Self::LlamaCpp, Self::Command, Self::Endpoint];

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

impl FromStr for Kind {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_every_kind() {
        let names: Vec<String> =
            KIND_NAMES.split(", ").map(|name| name.parse::<Kind>().expect(name).to_string()).collect();
        assert_eq!(names.join(", "), KIND_NAMES);
        assert_eq!(names.len(), <Kind>::ALL.len());
    }
}
