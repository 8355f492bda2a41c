//! The store, as the rest of the program sees it.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    bound::{self, Usage},
    directory::Directory,
    key::Key,
    names::{self, Name},
    pending::PendingSnapshot,
    records, saving,
    snapshot::{self, Entry, SnapshotFile},
};

use crate::{
    base::paths::Places,
    config::{Settings, WarmSettings},
};

/// Records and snapshots in one directory. Cheap to clone; nothing is opened or created before it is needed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Store {
    directory: PathBuf,
    max_size: u64,
    writes: bool,
}

impl Store {
    /// Returns the store in `directory`, which is created at the first write. It holds at most `max_size` bytes, and at
    /// most 5% of the free space. If `writes` is false, nothing in it is changed.
    pub(crate) fn new(directory: PathBuf, max_size: u64, writes: bool) -> Self {
        Store { directory, max_size, writes }
    }

    /// Returns the store that a session uses, or `None` if it is switched off.
    pub(crate) fn of_session(settings: &Settings, places: &Places, writes: bool) -> Option<Self> {
        let WarmSettings { enabled, max_size } = settings.warm;
        enabled.then(|| Store { writes, ..Self::at(places, max_size) })
    }

    /// Returns the user's store, whether it is switched off or not.
    pub(crate) fn at(places: &Places, max_size: u64) -> Self {
        Self::new(places.cache.join("warm"), max_size, true)
    }

    /// Returns whether it changes anything.
    pub(crate) fn writes(&self) -> bool {
        self.writes
    }

    /// Returns the directory of the snapshots' files, which may be missing.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Creates the directory if it is missing and this store writes. Returns whether it can be used: a server that gets it
    /// as an argument may refuse to start without it.
    pub(crate) fn ready(&self) -> bool {
        let ready = || Ok(Some(if self.writes { self.created()? } else { self.opened()? }));
        logged("not usable", ready()).is_some()
    }

    /// Returns a record, and marks it as used. One that can't be read is removed.
    pub(crate) fn record(&self, key: &Key) -> Option<Value> {
        let directory = self.opened().ok()?;
        let read = records::read(&directory, key, self.writes);
        if self.writes && read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidData) {
            records::remove(&directory, key);
        }
        logged("record not read", read)
    }

    /// Returns the most recently used record of a group, such as that of another project.
    pub(crate) fn newest_record(&self, group: &Key) -> Option<(Key, Value)> {
        let directory = self.opened().ok()?;
        logged("record not read", records::newest(&directory, group))
    }

    /// Keeps a record of at most 4 MB, replacing the one with the same key.
    pub(crate) fn set_record(&self, key: &Key, group: &Key, record: &Value) {
        if self.writes {
            let written = self.created().and_then(|directory| records::write(&directory, key, group, record));
            logged("record not written", written.map(Some));
        }
    }

    /// Returns whether there is a snapshot, unverified.
    pub(crate) fn has_snapshot(&self, key: &Key) -> bool {
        self.opened().is_ok_and(|directory| snapshot::is_there(&directory, key))
    }

    /// Verifies a snapshot, which reads its whole file, and marks it as used. One that is damaged or of another format is
    /// removed.
    pub(crate) fn open_snapshot(&self, key: &Key) -> Option<SnapshotFile> {
        let directory = self.opened().ok()?;
        match snapshot::verify(&directory, key, self.writes) {
            Ok(verified) => {
                if self.writes {
                    snapshot::touch(&directory, key);
                }
                Some(verified)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(%error, %key, "snapshot not opened");
                if self.writes {
                    logged("not cleaned", saving::clean(&directory).map(Some));
                }
                None
            }
        }
    }

    /// Begins to save a snapshot of about `expected_bytes`. Removes the least recently used ones if there is no room.
    /// Returns `None` if it doesn't fit, or if another process is saving the same one.
    pub(crate) fn begin_save(&self, key: &Key, expected_bytes: u64) -> Option<PendingSnapshot> {
        if !self.writes {
            return None;
        }
        let begun =
            self.created().and_then(|directory| PendingSnapshot::begin(directory, self.max_size, key, expected_bytes));
        logged("snapshot not saved", begun)
    }

    /// Notes that a server reused a restored snapshot.
    pub(crate) fn hit(&self, key: &Key) {
        if let Some(directory) = self.writable() {
            directory.remove(&names::missed(key));
        }
    }

    /// Notes that a server reused nothing of a restored snapshot. The second time in a row removes the snapshot.
    pub(crate) fn miss(&self, key: &Key) {
        let Some(directory) = self.writable() else { return };
        let name = names::missed(key);
        if directory.metadata(&name).is_some() {
            tracing::warn!(%key, "snapshot removed, since the server reused nothing of it");
            snapshot::remove(&directory, key);
        } else if snapshot::is_there(&directory, key) {
            logged("miss not noted", directory.create_file(&name).map(Some));
        }
    }

    /// Removes a snapshot.
    pub(crate) fn remove_snapshot(&self, key: &Key) {
        if let Some(directory) = self.writable() {
            snapshot::remove(&directory, key);
        }
    }

    /// Returns all snapshots, the most recently used first. Removes what killed processes left.
    pub(crate) fn list(&self) -> Vec<Entry> {
        let Ok(directory) = self.opened() else { return Vec::new() };
        if self.writes {
            logged("not cleaned", saving::clean(&directory).map(Some));
        }
        let mut entries = logged("not listed", snapshot::list(&directory).map(Some)).unwrap_or_default();
        entries.reverse();
        entries
    }

    /// Returns how much the store holds and may hold.
    ///
    /// # Errors
    /// `NotFound` if it has never been written; any other error if it can't be used.
    pub(crate) fn usage(&self) -> io::Result<Usage> {
        bound::usage(&self.opened()?, self.max_size)
    }

    /// Removes everything that isn't in use. Returns how many snapshots and records went, and the bytes that are free now.
    ///
    /// # Errors
    /// When the directory can't be used or read.
    pub(crate) fn clear(&self) -> io::Result<(usize, u64)> {
        let directory = match self.opened() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
            opened => opened?,
        };
        let before = bound::usage(&directory, self.max_size)?.bytes;
        saving::clean(&directory)?;
        let mut count = 0;
        for (kind, name) in directory.files()? {
            let removed = match kind {
                Name::Snapshot(key) => snapshot::remove_unused(&directory, &key),
                Name::Record { .. } => directory.remove(&name),
                _ => None,
            };
            count += usize::from(removed.is_some());
        }
        let after = bound::usage(&directory, self.max_size)?.bytes;
        Ok((count, before.saturating_sub(after)))
    }

    fn opened(&self) -> io::Result<Directory> {
        let opened = Directory::open(&self.directory);
        if let Err(error) = &opened
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, directory = %self.directory.display(), "the store of warm starts cannot be used");
        }
        opened
    }

    fn created(&self) -> io::Result<Directory> {
        Directory::create(&self.directory)
    }

    /// Returns the directory if it exists and this store writes.
    fn writable(&self) -> Option<Directory> {
        self.opened().ok().filter(|_| self.writes)
    }
}

/// Returns the value of a result, and logs its error.
fn logged<T>(what: &str, result: io::Result<Option<T>>) -> Option<T> {
    result.unwrap_or_else(|error| {
        tracing::warn!(%error, "warm start: {what}");
        None
    })
}
