//! A snapshot: the file that a server wrote, and a small file beside it that names and describes it.

use std::{
    fs::{File, TryLockError},
    io,
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use super::{
    checksum,
    directory::{self, Directory},
    key::Key,
    names::{self, Name},
};

/// Changes when a snapshot of an earlier release can't be read.
const FORMAT: u32 = 1;
/// The largest description, in bytes.
const MAX_DESCRIPTION: u64 = 64 * 1024;

/// What is noted about a snapshot, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotInfo {
    /// The model's name.
    pub model: String,
    /// The backend's name.
    pub backend: String,
    pub tokens: u64,
    /// The project's directory, or `None` if the snapshot serves all projects.
    pub project: Option<String>,
}

/// A verified snapshot. The store doesn't remove its file to make room while this value lives.
#[derive(Debug)]
pub(crate) struct SnapshotFile {
    /// The file's name in the store's directory.
    pub name: String,
    pub bytes: u64,
    pub tokens: u64,
    /// Has a shared lock.
    _in_use: File,
}

/// One snapshot in the store.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub key: Key,
    pub info: SnapshotInfo,
    pub bytes: u64,
    /// When it was saved or last used.
    pub used: SystemTime,
}

/// The content of `KEY.snapshot`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Description {
    format: u32,
    pub file: String,
    bytes: u64,
    checksum: String,
    info: SnapshotInfo,
}

impl Description {
    pub(super) fn new(file: String, bytes: u64, checksum: String, info: SnapshotInfo) -> Self {
        Description { format: FORMAT, file, bytes, checksum, info }
    }

    /// Reads the description of a snapshot, and when that was used last.
    ///
    /// # Errors
    /// `NotFound` without a snapshot, `InvalidData` if it is damaged or of another format.
    pub(super) fn read(directory: &Directory, key: &Key) -> io::Result<(Self, SystemTime)> {
        let (content, meta) = directory.read(&names::snapshot(key), MAX_DESCRIPTION)?;
        let description: Description = directory::parse(&content)?;
        // The name is a path once it is joined to the directory's.
        if description.format != FORMAT || Name::parse(&description.file) != Some(Name::Slot(key.clone())) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok((description, meta.modified()?))
    }

    pub(super) fn write(&self, directory: &Directory, key: &Key) -> io::Result<()> {
        directory.write(&names::snapshot(key), &serde_json::to_vec(self)?)
    }
}

/// Returns the snapshots, the least recently used first. One that can't be read or whose file is missing isn't among them.
pub(super) fn list(directory: &Directory) -> io::Result<Vec<Entry>> {
    let files = directory.files()?;
    let entry = |key: Key| {
        let (description, used) = Description::read(directory, &key).ok()?;
        let bytes = directory.metadata(&description.file)?.len();
        Some(Entry { key, info: description.info, bytes, used })
    };
    let keys = files.into_iter().filter_map(|(name, _)| if let Name::Snapshot(key) = name { Some(key) } else { None });
    let mut entries: Vec<Entry> = keys.filter_map(entry).collect();
    entries.sort_by(|one, other| (one.used, &one.key).cmp(&(other.used, &other.key)));
    Ok(entries)
}

/// Returns whether there is a snapshot whose file has the right length.
pub(super) fn is_there(directory: &Directory, key: &Key) -> bool {
    Description::read(directory, key).is_ok_and(|(description, _)| {
        directory.metadata(&description.file).is_some_and(|meta| meta.len() == description.bytes)
    })
}

/// Verifies a snapshot by its checksum, which reads the whole file. Removes a damaged file if `removes`, but not its
/// description, which may be a newer one by now.
///
/// # Errors
/// `NotFound` without a snapshot, `InvalidData` if it is damaged or of another format.
pub(super) fn verify(directory: &Directory, key: &Key, removes: bool) -> io::Result<SnapshotFile> {
    let (Description { file: name, bytes, checksum, info, .. }, _) = Description::read(directory, key)?;
    let verify = || {
        let file = directory.open_file(&name)?;
        file.try_lock_shared()?;
        if file.metadata()?.len() != bytes || checksum::of(&file)? != (checksum, bytes) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its checksum is wrong"));
        }
        Ok(file)
    };
    match verify() {
        Ok(file) => Ok(SnapshotFile { name, bytes, tokens: info.tokens, _in_use: file }),
        Err(error) => {
            // Of a bad disk nothing better can be expected the next time.
            let is_bad = error.kind() == io::ErrorKind::InvalidData || error.raw_os_error() == Some(libc::EIO);
            if is_bad && removes {
                directory.remove(&name);
            }
            let is_missing = error.kind() == io::ErrorKind::NotFound;
            Err(if is_bad || is_missing { io::Error::new(io::ErrorKind::InvalidData, error) } else { error })
        }
    }
}

/// Returns the name of the server's file, or `None` if there is no snapshot, it can't be used, or the file is missing.
///
/// # Errors
/// Any other than what that means, such as too many open files.
pub(super) fn named(directory: &Directory, key: &Key) -> io::Result<Option<String>> {
    match Description::read(directory, key) {
        Ok((description, _)) => Ok(Some(description.file).filter(|file| directory.metadata(file).is_some())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Marks a snapshot as used now.
pub(super) fn touch(directory: &Directory, key: &Key) {
    let touched = directory.open_file(&names::snapshot(key)).and_then(|file| file.set_modified(SystemTime::now()));
    if let Err(error) = touched {
        tracing::warn!(%error, %key, "snapshot not marked as used");
    }
}

/// Removes a snapshot, whoever uses it. A server that has its file open keeps it.
pub(super) fn remove(directory: &Directory, key: &Key) {
    let file = Description::read(directory, key).ok().map(|(description, _)| description.file);
    // First, so that no description names a file that is gone.
    for name in [names::snapshot(key), names::missed(key)].into_iter().chain(file) {
        directory.remove(&name);
    }
}

/// Removes a snapshot that nobody uses. Returns its bytes, or `None` if it is in use or can't be removed.
pub(super) fn remove_unused(directory: &Directory, key: &Key) -> Option<u64> {
    let (description, _) = Description::read(directory, key).ok()?;
    unless_in_use(directory, &description.file, || {
        // First, so that no description names a file that is gone.
        directory.remove(&names::snapshot(key))?;
        directory.remove(&names::missed(key));
        directory.remove(&description.file)
    })
}

/// Removes a file of a server that no snapshot names, unless it is in use.
pub(super) fn remove_file(directory: &Directory, name: &str) {
    unless_in_use(directory, name, || directory.remove(name));
}

/// Runs `remove` while nobody can begin to use a server's file. Returns `None` if it is in use already.
fn unless_in_use<T>(directory: &Directory, name: &str, remove: impl FnOnce() -> Option<T>) -> Option<T> {
    // One that is missing or foreign is used by nobody.
    let file = directory.open_file(name).ok();
    let is_in_use = file.as_ref().is_some_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
    if is_in_use { None } else { remove() }
}
