//! Saving a snapshot.

use std::{fs::Permissions, io, os::unix::fs::PermissionsExt};

use super::{
    bound, checksum,
    directory::Directory,
    key::Key,
    names,
    saving::{self, SaveLock},
    snapshot::{self, Description, SnapshotInfo},
};
use crate::base::failpoint;

/// A snapshot that is being saved. Dropping it removes the file.
#[derive(Debug)]
pub(crate) struct PendingSnapshot {
    directory: Directory,
    max_size: u64,
    key: Key,
    name: String,
    is_kept: bool,
    /// Released after the file is removed.
    _lock: SaveLock,
}

impl PendingSnapshot {
    /// Begins to save a snapshot of about `expected` bytes. Returns `None` if it doesn't fit, or if another process is
    /// saving the same one.
    pub(super) fn begin(
        directory: Directory,
        max_size: u64,
        key: &Key,
        expected: u64,
    ) -> io::Result<Option<PendingSnapshot>> {
        saving::clean(&directory)?;
        let Some(lock) = SaveLock::take(&directory, key) else {
            tracing::info!(%key, "snapshot not saved, since another process saves it");
            return Ok(None);
        };
        if !bound::make_room(&directory, max_size, expected, key)? {
            tracing::info!(%key, expected, "snapshot not saved, since it doesn't fit");
            return Ok(None);
        }
        let name = names::slot(key);
        directory.create_file(&name)?;
        failpoint::reach("warm-begun");
        Ok(Some(PendingSnapshot { directory, max_size, key: key.clone(), name, is_kept: false, _lock: lock }))
    }

    /// Returns the name of the file in the store's directory that the server writes. It exists, is empty and has mode
    /// 0600.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Makes the written file the snapshot of its key. Reads the whole file, and waits until it is on the disk. Returns
    /// whether the snapshot is kept.
    pub(crate) fn commit(mut self, about: SnapshotInfo) -> bool {
        match self.keep(about) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, key = %self.key, "snapshot not saved");
                false
            }
        }
    }

    fn keep(&mut self, about: SnapshotInfo) -> io::Result<()> {
        let (directory, key) = (&self.directory, &self.key);
        let file = directory.open_file(&self.name)?;
        // The server may have replaced the file instead of writing to it.
        file.set_permissions(Permissions::from_mode(0o600))?;
        let (checksum, bytes) = checksum::of(&file)?;
        if bytes == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the server wrote nothing"));
        }
        failpoint::reach("warm-checked");
        // A full disk may become known only now.
        file.sync_all()?;
        if !bound::make_room(directory, self.max_size, 0, key)? {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "it is larger than expected"));
        }
        let old = Description::read(directory, key).ok().map(|(description, _)| description.file);
        directory.remove(&names::missed(key));
        Description::new(self.name.clone(), bytes, checksum, about).write(directory, key)?;
        self.is_kept = true;
        failpoint::reach("warm-replaced");
        if let Some(old) = old {
            snapshot::remove_file(directory, &old);
        }
        Ok(())
    }
}

impl Drop for PendingSnapshot {
    fn drop(&mut self) {
        if !self.is_kept {
            self.directory.remove(&self.name);
        }
    }
}
