//! Which project files the user has trusted, and as what: a list of paths with the SHA-256 of each, in the state
//! directory. Sessions only read it; `lclaude local trust` and `untrust` change it, one at a time.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::base::{
    disk,
    error::{Code, Failure, Result},
};

/// Each file's canonical path, and the hash of what it said when it was trusted.
pub type Trusted = BTreeMap<PathBuf, String>;

/// What the user has said of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Unknown,
    /// That it is trusted; but it said something else then.
    Changed,
    Trusted,
}

pub struct Store {
    file: PathBuf,
}

impl Store {
    pub fn new(state: &Path) -> Self {
        Store { file: state.join("trust.json") }
    }

    /// # Errors
    /// `Config` when the list cannot be read.
    pub fn standing(&self, path: &Path, hash: &str) -> Result<Standing> {
        Ok(match self.list()?.get(path) {
            None => Standing::Unknown,
            Some(trusted) if trusted == hash => Standing::Trusted,
            Some(_) => Standing::Changed,
        })
    }

    /// # Errors
    /// `Config` when it cannot be read.
    pub fn list(&self) -> Result<Trusted> {
        let unusable = |why: String| {
            Failure::new(Code::Config, format!("the list of trusted files, {}, cannot be read", self.file.display()))
                .why(why)
                .help(format!("rm {}, and trust the files again that you still trust", self.file.display()))
        };
        match disk::read(&self.file) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| unusable(error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Trusted::new()),
            Err(error) => Err(unusable(error.to_string())),
        }
    }

    /// Whether a path can be in the list, which is text.
    ///
    /// # Errors
    /// `Config` when it is not UTF-8.
    pub fn can_hold(&self, path: &Path) -> Result<()> {
        match path.to_str() {
            Some(_) => Ok(()),
            None => Err(Failure::new(Code::Config, format!("{} cannot be trusted", path.display()))
                .why(format!("its path is not UTF-8, and the list of trusted files, {}, is", self.file.display()))
                .help("rename its directory")),
        }
    }

    /// Changes the list; `change` gives whether it did.
    ///
    /// # Errors
    /// `Config` when it cannot be read or written.
    pub fn change(&self, change: impl FnOnce(&mut Trusted) -> bool) -> Result<bool> {
        // Until the end of this function, so that nobody's change is lost.
        let _lock = self.lock().map_err(|error| self.unwritable(error))?;
        let mut trusted = self.list()?;
        let changed = change(&mut trusted);
        if changed {
            let text = serde_json::to_vec_pretty(&trusted).expect("plain data, with paths that it can hold");
            disk::replace(&self.file, &text).map_err(|error| self.unwritable(error))?;
        }
        Ok(changed)
    }

    fn lock(&self) -> io::Result<fs::File> {
        disk::make_dir(self.directory())?;
        let lock = self.file.with_extension("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock)?;
        lock.lock()?;
        Ok(lock)
    }

    fn directory(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("/"))
    }

    fn unwritable(&self, error: io::Error) -> Failure {
        Failure::new(Code::Config, format!("{} cannot be written", self.file.display()))
            .why(error)
            .help(format!("df -h {0}, and ls -ld {0}", self.directory().display()))
    }
}
