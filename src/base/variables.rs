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
    /// Those of this process.
    pub(crate) fn read() -> Self {
        Variables(env::vars_os().collect())
    }

    /// The value of a variable, or `None` if it is unset or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The value of a variable, which may be empty.
    pub(crate) fn get_even_empty(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// The value of a variable that is not empty, as text, or `None` if it is not UTF-8.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.to_str()
    }

    /// The same as a path.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// Whether a variable is set, be it to nothing.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.0.contains_key(OsStr::new(name))
    }

    /// The names of all variables.
    pub(crate) fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.0.keys().map(OsString::as_os_str)
    }
}
