//! The source of a configuration value, and the precedence of sources.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::base::error::Code;

/// Where a value came from. Later variants override earlier ones.
///
/// The precedence of a profile depends on who selected it: the project file overrides a profile that a file selects,
/// but not one that a variable or an option selects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Default,
    /// The user's configuration file.
    File(PathBuf),
    /// A profile in the user's file, selected there or in the project file.
    Profile(String, PathBuf),
    /// The project file.
    Project(PathBuf),
    /// A profile in the user's file, selected by a variable or an option.
    SelectedProfile(String, PathBuf),
    Variable(&'static str),
    Option(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => write!(f, "default"),
            Source::File(path) | Source::Project(path) => write!(f, "{}", path.display()),
            Source::Profile(name, path) | Source::SelectedProfile(name, path) => {
                write!(f, "profile {name} in {}", path.display())
            }
            Source::Variable(name) => write!(f, "{name}"),
            Source::Option(name) => write!(f, "{name}"),
        }
    }
}

impl Source {
    /// Returns whether it is the command line or the environment of this process rather than a file.
    pub(crate) fn is_typed(&self) -> bool {
        matches!(self, Source::Variable(_) | Source::Option(_))
    }

    /// Returns the exit code for an invalid value from this source: `Usage` for an option, else `Config`.
    pub(crate) fn code(&self) -> Code {
        match self {
            Source::Option(_) => Code::Usage,
            _ => Code::Config,
        }
    }

    /// Returns the directory that relative paths resolve against: the file's own, or `here` for other sources.
    pub(super) fn base_dir(&self, here: &Path) -> PathBuf {
        match self {
            Source::File(file)
            | Source::Project(file)
            | Source::Profile(_, file)
            | Source::SelectedProfile(_, file) => {
                file.parent().map_or_else(|| here.to_owned(), |directory| here.join(directory))
            }
            Source::Default | Source::Variable(_) | Source::Option(_) => here.to_owned(),
        }
    }
}
