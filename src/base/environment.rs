//! The environment of this process: variables, directories and lclaude's own paths. Read once at the edge and passed
//! on.

use std::{
    env, io,
    path::{Path, PathBuf},
};

use super::{
    error::{Code, Failure, Result},
    paths::{self, Places},
    ui,
    variables::Variables,
};

/// Variables, directories and places of this process.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    pub variables: Variables,
    pub places: Places,
    working_dir: Option<PathBuf>,
}

impl Environment {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// `Config` if the home directory is unknown or missing.
    pub(crate) fn read() -> Result<Self> {
        let variables = Variables::read();
        let places = Places::find(&variables)?;
        ui::abbreviate_home(&places.home);
        Ok(Environment { variables, places, working_dir: env::current_dir().ok() })
    }

    /// Returns the user's home directory.
    pub(crate) fn home(&self) -> &Path {
        &self.places.home
    }

    /// Returns the working directory.
    ///
    /// # Errors
    /// `Config` if it was deleted or cannot be read.
    pub(crate) fn working_dir(&self) -> Result<&Path> {
        self.working_dir.as_deref().ok_or_else(|| {
            let error = env::current_dir().err().unwrap_or_else(|| io::ErrorKind::NotFound.into());
            Failure::new(Code::Config, "the working directory cannot be used")
                .cause(error)
                .help("cd to a directory that exists")
        })
    }

    /// Returns the same environment with another working directory.
    #[must_use]
    pub(crate) fn in_directory(mut self, directory: &Path) -> Self {
        self.working_dir = Some(directory.to_owned());
        self
    }

    /// Returns a path absolute: `~/` is the home directory, and a relative path starts at `base`.
    pub(crate) fn absolute(&self, path: &Path, base: &Path) -> PathBuf {
        paths::absolute(&match path.strip_prefix("~") {
            Ok(rest) => self.home().join(rest),
            Err(_) => base.join(path),
        })
    }

    /// Returns a path as a configuration file may have it, so that the file can be used on another machine too: `~` is the
    /// home directory.
    pub(crate) fn with_tilde(&self, path: &Path) -> String {
        match path.strip_prefix(self.home()) {
            Ok(rest) => Path::new("~").join(rest).display().to_string(),
            Err(_) => path.display().to_string(),
        }
    }

    /// Expands `~` and `~/…` at the start of a word to the home directory, as a shell does.
    pub(crate) fn expand_tilde(&self, word: &mut String) {
        if word == "~" || word.starts_with("~/") {
            word.replace_range(..1, &self.home().to_string_lossy());
        }
    }
}
