//! lclaude's own environment variables, except those that are settings (see `config`).

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

/// Level of lclaude's own log: off, error, warn, info, debug or trace.
pub(crate) const LOG: &str = "LCLAUDE_LOG";
/// Nesting depth: set in a session's environment to the number of lclaudes around it.
pub(crate) const DEPTH: &str = "LCLAUDE_DEPTH";

/// The inherited variables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables(BTreeMap<OsString, OsString>);

impl Variables {
    /// Returns the variables of this process.
    pub(crate) fn read() -> Self {
        Variables(env::vars_os().collect())
    }

    /// Returns these variables and no others.
    #[cfg(test)]
    pub(crate) fn of(variables: BTreeMap<OsString, OsString>) -> Self {
        Variables(variables)
    }

    /// Returns the value of a variable, or `None` if it is unset or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        self.get_even_empty(name).filter(|value| !value.is_empty())
    }

    /// Returns the value of a variable, which may be empty, or `None` if it is unset.
    pub(crate) fn get_even_empty(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Returns the value of a variable as text, or `None` if it is unset, empty or not UTF-8.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.to_str()
    }

    /// Returns the value of a variable as a path, or `None` if it is unset or empty.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// Returns whether a variable is set, even if it is empty.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.get_even_empty(name).is_some()
    }

    /// Returns the names of all variables.
    pub(crate) fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.0.keys().map(OsString::as_os_str)
    }
}
