//! The kinds of backend that the configuration can select.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::keys::{find_nearest, shorten};

/// The names of all kinds, for messages.
pub(crate) const KIND_NAMES: &str = "ollama, lmstudio, llamacpp, command, endpoint";

/// A kind of backend, serialized by its name in the configuration. `backend` implements each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
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

/// Returns the kind that a URL selects: a server that is already running.
pub(crate) fn url_kind() -> Kind {
    <Kind>::Endpoint
}

impl FromStr for Kind {
    type Err = UnknownKind;

    /// Parses a name. Case and what separates words don't matter: `llama.cpp`, `LM Studio` and `Ollama` are names too.
    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        let plain = |name: &str| {
            name.chars().filter(|c| !matches!(c, '.' | '-' | '_' | ' ')).collect::<String>().to_lowercase()
        };
        let name = plain(name);
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| UnknownKind { nearest: find_nearest(&name, KIND_NAMES.split(", ")) })
    }
}

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse().map_err(|unknown| format!("unknown backend {:?}, {unknown}", shorten(name)))
    }
}

/// The error for a name of no kind. Its text says which names there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownKind {
    /// The kind whose name resembles the unknown one.
    pub nearest: Option<&'static str>,
}

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected one of {KIND_NAMES}")?;
        self.nearest.map_or(Ok(()), |nearest| write!(f, "; did you mean {nearest}?"))
    }
}

impl std::error::Error for UnknownKind {}

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

    #[test]
    fn other_spellings_name_the_same_kind() {
        for (spelling, name) in [
            ("llama.cpp", "llamacpp"),
            ("llama-cpp", "llamacpp"),
            ("LlamaCpp", "llamacpp"),
            ("lm-studio", "lmstudio"),
            ("lm studio", "lmstudio"),
            ("LMStudio", "lmstudio"),
            ("Ollama", "ollama"),
        ] {
            let kind: Kind = spelling.parse().expect(spelling);
            assert_eq!((kind.name(), spelling.to_owned().try_into()), (name, Ok(kind)));
        }
        for (name, nearest) in [("lama", Some("ollama")), ("llamacp", Some("llamacpp")), ("", None), ("xyz", None)] {
            let parsed: Result<Kind, _> = name.parse();
            assert_eq!(parsed, Err(UnknownKind { nearest }), "{name}");
        }
    }
}
