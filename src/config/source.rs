//! Where a value came from, and what that counts for.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::base::error::Code;

/// Where a value came from; later ones win.
///
/// A profile counts as much as who chose it: one that a file chose yields to what the project's file says itself, one
/// that the user asks for now does not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Default,
    /// The user's own file.
    File(PathBuf),
    /// In the user's own file, chosen there or in the project's.
    Profile(String, PathBuf),
    /// The project's file.
    Project(PathBuf),
    /// In the user's own file, chosen by a variable or an option.
    AskedProfile(String, PathBuf),
    Variable(&'static str),
    Option(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => write!(f, "default"),
            Source::File(path) | Source::Project(path) => write!(f, "{}", path.display()),
            Source::Profile(name, path) | Source::AskedProfile(name, path) => {
                write!(f, "profile {name} in {}", path.display())
            }
            Source::Variable(name) => write!(f, "{name}"),
            Source::Option(name) => write!(f, "{name}"),
        }
    }
}

impl Source {
    /// A fault on the command line is the command line's, any other the configuration's.
    pub fn code(&self) -> Code {
        match self {
            Source::Option(_) => Code::Usage,
            _ => Code::Config,
        }
    }

    /// The directory that a relative path from here is relative to: a file's own, or else where the user is.
    pub(super) fn base<'a>(&'a self, here: &'a Path) -> &'a Path {
        match self {
            Source::File(file) | Source::Project(file) | Source::Profile(_, file) | Source::AskedProfile(_, file) => {
                file.parent().unwrap_or(here)
            }
            Source::Default | Source::Variable(_) | Source::Option(_) => here,
        }
    }
}
