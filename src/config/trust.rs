//! The trust list: the paths of trusted project files with the SHA-256 and owner of each, in the state directory.
//! Sessions only read it; `lclaude local trust` and `untrust` change it under a lock.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::base::{
    disk,
    error::{Code, Failure, Result},
    ui,
};

/// Each file's canonical path, and what it was when it was trusted.
pub(crate) type Trusted = BTreeMap<PathBuf, Pin>;

/// What trust in a file is pinned to. Its text is `SHA256`, or `SHA256@UID` for a file of another user. Versions of
/// lclaude without `@UID` treat such a file as changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Pin(String);

impl Pin {
    /// Returns the pin of a file with this content and the user ID of its owner.
    pub(crate) fn of(bytes: &[u8], owner: u32) -> Self {
        let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Pin(if owner == geteuid().as_raw() { hash } else { format!("{hash}@{owner}") })
    }

    /// Returns the user ID of the owner, or `None` for the user's own file.
    pub(crate) fn other_owner(&self) -> Option<&str> {
        self.0.split_once('@').map(|(_, owner)| owner)
    }

    fn hash(&self) -> &str {
        self.0.split('@').next().unwrap_or_default()
    }
}

/// Whether the user trusts a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrustState {
    /// Not trusted.
    Unknown,
    /// Trusted, but the content has changed since.
    Changed,
    /// Trusted, but the file belongs to another user since.
    OwnerChanged,
    Trusted,
}

pub(crate) struct TrustList {
    file: PathBuf,
}

impl TrustList {
    pub(crate) fn new(state: &Path) -> Self {
        TrustList { file: state.join("trust.json") }
    }

    /// Returns whether the file at `path` is trusted with this content and owner.
    ///
    /// # Errors
    /// `Config` if the list can't be read.
    pub(crate) fn standing(&self, path: &Path, pin: &Pin) -> Result<TrustState> {
        Ok(match self.list()?.get(path) {
            None => TrustState::Unknown,
            Some(trusted) if trusted == pin => TrustState::Trusted,
            Some(trusted) if trusted.hash() == pin.hash() => TrustState::OwnerChanged,
            Some(_) => TrustState::Changed,
        })
    }

    /// Returns the whole list.
    ///
    /// # Errors
    /// `Config` if it can't be read.
    pub(crate) fn list(&self) -> Result<Trusted> {
        let unusable = |why: String| {
            Failure::new(Code::Config, format!("the trust list {} cannot be read", self.file.display()))
                .cause(why)
                .help(format!("rm {}", ui::quote_path(&self.file)))
                .help("lclaude local trust  # in each project, to trust it again")
        };
        match disk::read(&self.file) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| unusable(error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Trusted::new()),
            Err(error) => Err(unusable(error.to_string())),
        }
    }

    /// Checks that a path can be stored in the list, which is JSON.
    ///
    /// # Errors
    /// `Config` if it isn't valid UTF-8.
    pub(crate) fn can_hold(path: &Path) -> Result<()> {
        match path.to_str() {
            Some(_) => Ok(()),
            None => Err(Failure::new(Code::Config, format!("{} cannot be trusted", path.display()))
                .cause("its path is not valid UTF-8")
                .help("rename its directory")),
        }
    }

    /// Applies `change` to the list. Returns its result: whether the list changed.
    ///
    /// # Errors
    /// `Config` if the list can't be read or written.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Trusted) -> bool) -> Result<bool> {
        // Held to the end of this function, so that no concurrent change is lost.
        let _lock = self.lock().map_err(|error| self.unwritable(error))?;
        let mut trusted = self.list()?;
        let changed = change(&mut trusted);
        if changed {
            let text = serde_json::to_vec_pretty(&trusted).expect("plain data with UTF-8 paths");
            disk::replace(&self.file, &text).map_err(|error| self.unwritable(error))?;
        }
        Ok(changed)
    }

    fn lock(&self) -> io::Result<fs::File> {
        disk::create_private_dir(self.directory())?;
        let lock = self.file.with_extension("lock");
        let lock = disk::private().write(true).create(true).truncate(false).open(lock)?;
        lock.lock()?;
        Ok(lock)
    }

    fn directory(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("/"))
    }

    fn unwritable(&self, error: io::Error) -> Failure {
        Failure::new(Code::Config, format!("{} cannot be written", self.file.display()))
            .cause(error)
            .help(format!("df -h {0}; ls -ld {0}", self.directory().display()))
    }
}
