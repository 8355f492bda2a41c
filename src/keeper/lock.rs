//! Lock files. The kernel releases a lock when its holder dies.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
};

use crate::base::disk;

/// An open lock file. Dropping it releases the lock.
pub(crate) struct LockFile(File);

impl AsFd for LockFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl LockFile {
    /// Opens the file, creating it if necessary.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        options.map(LockFile)
    }

    /// Opens the file without creating it.
    pub(crate) fn open_existing(path: &Path) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).open(path).map(LockFile)
    }

    /// Takes the lock. Blocks the thread until it is free.
    pub(crate) fn lock(&self) -> io::Result<()> {
        self.0.lock()
    }

    /// Releases the lock for every process that shares this open file: the keeper's guard too.
    pub(crate) fn unlock(&self) {
        let _ = self.0.unlock();
    }

    /// Takes the lock if it is free; returns `false` if another process holds it.
    pub(crate) fn try_lock(&self) -> io::Result<bool> {
        is_taken(self.0.try_lock())
    }

    /// Returns whether `path` still names this file.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let (ours, named) = (self.0.metadata(), fs::metadata(path));
        ours.is_ok_and(|ours| named.is_ok_and(|named| disk::is_same(&ours, &named)))
    }

    /// Takes the lock together with others that share it; returns `false` if a process has it for itself.
    pub(crate) fn try_share(&self) -> io::Result<bool> {
        is_taken(self.0.try_lock_shared())
    }
}

fn is_taken(result: Result<(), TryLockError>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
