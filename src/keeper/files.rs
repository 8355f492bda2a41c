//! A plan's files in the runtime directory.
//!
//! - `ID.lock`: held by the keeper until its backend is gone, so that a plan never has two.
//! - `ID.json`: what the keeper runs, for a successor ([`Record`](super::record::Record)). Only the holder of the lock writes it.
//! - `ID.lease`: held together by all sessions that a keeper has answered. A keeper that doesn't answer may be killed
//!   only while nobody holds it.
//! - `ID.sock`: exists only while the keeper accepts new sessions.
//!
//! Lock files are never removed, since two processes could then each lock a file of that name.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::lock::LockFile;

/// How often to try to share the lock in `ID.lease`.
const SHARE_TRIES: u32 = 20;

#[derive(Debug, Clone)]
pub(crate) struct PlanFiles {
    stem: PathBuf,
}

impl PlanFiles {
    pub(crate) fn new(runtime: &Path, id: &str) -> Self {
        PlanFiles { stem: runtime.join(id) }
    }

    /// Returns the plan's ID.
    pub(crate) fn id(&self) -> String {
        self.stem.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.stem.with_extension("sock")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.stem.with_extension("lock")
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.stem.with_extension("json")
    }

    /// Removes the log that a throwaway session keeps in the runtime directory, once the backend has ended normally.
    pub(crate) fn remove_log(&self) {
        for ending in ["log", "old"] {
            let _ = fs::remove_file(self.stem.with_extension(ending));
        }
    }

    /// Removes every file of a keeper that is gone, except the locks and the record.
    pub(crate) fn remove_all(&self) {
        for ending in ["sock", "preset", "new"] {
            let _ = fs::remove_file(self.stem.with_extension(ending));
        }
        self.remove_log();
    }

    /// Returns whether a keeper exists, in any state.
    pub(crate) fn has_keeper(&self) -> bool {
        // Held only for a moment, and shared with others who ask; a keeper that is just starting waits for it.
        LockFile::open_existing(&self.lock()).is_ok_and(|lock| !lock.try_share().unwrap_or(true))
    }

    /// Marks the plan as used by this process until the result is dropped. Returns `None` if the file can't be locked.
    pub(crate) fn share_lease(&self) -> Option<LockFile> {
        let lease = LockFile::open(&self.lease()).ok()?;
        for _ in 0..SHARE_TRIES {
            if lease.try_share().ok()? {
                return Some(lease);
            }
            // Another process is looking whether it is in use, which takes a moment unless that process is suspended.
            std::thread::sleep(Duration::from_micros(100));
        }
        None
    }

    /// Returns whether `lease` still marks the plan as used: others look only at a file that exists.
    pub(crate) fn is_shared_by(&self, lease: &LockFile) -> bool {
        lease.is_at(&self.lease())
    }

    /// Returns whether no session uses the plan, whatever its keeper is doing.
    pub(crate) fn is_unused(&self) -> bool {
        self.lock_unused().is_some()
    }

    /// Keeps sessions from using the plan until the result is dropped. Returns `None` if any uses it.
    pub(crate) fn lock_unused(&self) -> Option<LockFile> {
        let lease = LockFile::open(&self.lease()).ok()?;
        lease.try_lock().is_ok_and(|locked| locked).then_some(lease)
    }

    /// Returns the file that all sessions lock together while they use the plan.
    pub(crate) fn lease(&self) -> PathBuf {
        self.stem.with_extension("lease")
    }
}
