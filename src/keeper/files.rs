//! A plan's files in the runtime directory.
//!
//! - `ID.lock`: held by the keeper until its backend is gone, so that a plan never has two.
//! - `ID.json`: what the keeper runs, for a successor ([`Record`]). Only the holder of the lock writes it.
//! - `ID.lease`: held together by all sessions that a keeper has answered. A keeper that doesn't answer may be killed
//!   only while nobody holds it.
//! - `ID.sock`: exists only while the keeper accepts new sessions.
//!
//! Lock files are never removed, since two processes could then each lock a file of that name.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use tokio::time::timeout;

use super::{
    lock::LockFile,
    record::Record,
    timeouts::{BUSY_TIMEOUT, CLEANUP_TIMEOUT, REPLY_TIMEOUT, WORD_AFTER},
};

#[derive(Debug, Clone)]
pub(crate) struct PlanFiles {
    stem: PathBuf,
}

impl PlanFiles {
    pub(crate) fn new(runtime: &Path, id: &str) -> Self {
        PlanFiles { stem: runtime.join(id) }
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

    /// Returns whether a dead keeper left something to clean up.
    pub(crate) fn has_leftovers(&self) -> bool {
        Record::read(self).is_some_and(|record| record.has_leftovers())
    }

    /// Marks the plan as used by this process until the result is dropped. Returns `None` if the file can't be locked
    /// now, because another process is looking whether it can be.
    pub(crate) fn share_lease(&self) -> Option<LockFile> {
        let lease = LockFile::open(&self.lease()).ok()?;
        lease.try_share().is_ok_and(|shared| shared).then_some(lease)
    }

    /// Returns whether `lease` still marks the plan as used: others look only at a file that exists.
    pub(crate) fn is_shared_by(&self, lease: &LockFile) -> bool {
        lease.is_at(&self.lease())
    }

    /// Returns whether no session uses the plan, whatever its keeper is doing.
    pub(crate) fn is_unused(&self) -> bool {
        match LockFile::open_existing(&self.lease()) {
            Ok(lease) => lease.try_lock().unwrap_or(false),
            // No session has ever locked it.
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Returns the file that all sessions lock together while they use the plan.
    pub(crate) fn lease(&self) -> PathBuf {
        self.stem.with_extension("lease")
    }

    /// Wakes the keeper, since it may be suspended. On this signal it also recreates a deleted socket.
    pub(crate) fn wake(&self) {
        if let Some(record) = Record::read(self) {
            record.keeper.signal(Signal::CONT);
            // It may still hold the lock of a killed keeper.
            if let Some(guard) = record.guard {
                guard.signal(Signal::CONT);
            }
        }
    }

    /// Kills the keeper and its backend, or what is left of them.
    pub(crate) async fn kill(&self) {
        let Some(record) = Record::read(self) else { return };
        if record.keeper.is_alive() {
            record.keeper.signal(Signal::KILL);
        } else if let Some(guard) = record.guard {
            guard.signal(Signal::KILL);
        }
        if let Some(backend) = record.backend {
            backend.kill().await;
        }
    }

    /// Waits for something that the keeper does at once when it is asked, and wakes it if it doesn't. Returns `None` if
    /// it didn't do it even then.
    pub(crate) async fn wait_for_keeper<T>(&self, done: impl Future<Output = T>) -> Option<T> {
        let mut done = std::pin::pin!(done);
        if let Ok(done) = timeout(WORD_AFTER, &mut done).await {
            return Some(done);
        }
        self.wake();
        timeout(self.patience(), done).await.ok()
    }

    /// Returns how long to wait for a keeper that was woken. One that is shutting down gets longest, and one that others
    /// use longer than one that nobody uses.
    pub(crate) fn patience(&self) -> Duration {
        match Record::read(self) {
            Some(record) if record.ending => CLEANUP_TIMEOUT,
            _ if self.is_unused() => REPLY_TIMEOUT,
            _ => BUSY_TIMEOUT,
        }
    }
}
