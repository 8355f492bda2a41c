//! The lock on saving a snapshot, and the removal of what a killed process left.

use std::{
    collections::BTreeSet,
    fs::{File, TryLockError},
    io,
};

use super::{
    directory::Directory,
    key::Key,
    names::{self, Name},
    snapshot,
};

/// How often a lock is taken whose file another process removes meanwhile.
const ATTEMPTS: u32 = 10;

/// The lock on saving one snapshot. Its file is removed when this value is dropped.
#[derive(Debug)]
pub(super) struct SaveLock {
    directory: Directory,
    name: String,
    /// Closed after the file is removed.
    _file: File,
}

impl SaveLock {
    /// Takes the lock, or returns `None` if another process has it.
    pub(super) fn take(directory: &Directory, key: &Key) -> Option<Self> {
        let name = names::saving(key);
        for _ in 0..ATTEMPTS {
            let file = match directory.open_or_create(&name) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    directory.remove(&name);
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, %key, "snapshot not locked");
                    return None;
                }
            };
            match file.try_lock() {
                // The process that had it before removed the file.
                Ok(()) if !directory.is_at(&file, &name) => {}
                Ok(()) => return Some(SaveLock { directory: directory.clone(), name, _file: file }),
                Err(TryLockError::WouldBlock) => return None,
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(%error, %key, "snapshot not locked");
                    return None;
                }
            }
        }
        None
    }
}

impl Drop for SaveLock {
    fn drop(&mut self) {
        self.directory.remove(&self.name);
    }
}

/// Removes what killed processes left: files that nobody is writing, servers' files that no snapshot names, and snapshots
/// that can't be read.
pub(super) fn clean(directory: &Directory) -> io::Result<()> {
    let files = directory.files()?;
    let mut named = BTreeSet::new();
    let mut broken = BTreeSet::new();
    for key in files.iter().filter_map(|(kind, _)| if let Name::Snapshot(key) = kind { Some(key) } else { None }) {
        match snapshot::named(directory, key) {
            Ok(Some(file)) => drop(named.insert(file)),
            Ok(None) => drop(broken.insert(key)),
            Err(error) => tracing::warn!(%error, %key, "snapshot not read"),
        }
    }
    for (kind, name) in &files {
        match kind {
            Name::New => remove_unlocked(directory, name),
            Name::Saving(key) => drop(broken.insert(key)),
            Name::Slot(key) if !named.contains(name) => drop(broken.insert(key)),
            Name::Missed(key) if directory.metadata(&names::snapshot(key)).is_none() => drop(broken.insert(key)),
            _ => {}
        }
    }
    broken.into_iter().try_for_each(|key| clean_key(directory, key))
}

/// Removes what a killed save left of one snapshot, unless a save is going on.
fn clean_key(directory: &Directory, key: &Key) -> io::Result<()> {
    let Some(_lock) = SaveLock::take(directory, key) else {
        return Ok(());
    };
    // Read again, since a save may have ended meanwhile.
    let Ok(named) = snapshot::named(directory, key) else {
        return Ok(());
    };
    if named.is_none() {
        directory.remove(&names::snapshot(key));
        directory.remove(&names::missed(key));
    }
    for (kind, name) in directory.files()? {
        if matches!(kind, Name::Slot(of) if of == *key) && named.as_ref() != Some(&name) {
            snapshot::remove_file(directory, &name);
        }
    }
    Ok(())
}

/// Removes a file that no process is writing.
fn remove_unlocked(directory: &Directory, name: &str) {
    match directory.open_file(name) {
        Ok(file) if file.try_lock().is_ok() => drop(directory.remove(name)),
        Ok(_) => {}
        Err(_) => drop(directory.remove(name)),
    }
}
