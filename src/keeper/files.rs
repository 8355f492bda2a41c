//! A plan's files in the runtime directory, including the two locks that ensure one keeper per plan.
//!
//! - `ID.gate`: held by a session while it finds or starts a keeper, so that sessions that start together queue behind
//!   the first. Released as soon as the keeper listens.
//! - `ID.lock`: held by the keeper until its backend is gone. Its content describes the keeper and what it runs.
//! - `ID.sock`: exists only while the keeper accepts new sessions.
//!
//! The kernel releases a lock when its holder dies. Lock files are never removed, since two processes could then each
//! lock a file of that name.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::{
    report::KeeperInfo,
    timeouts::{CLEANUP_TIMEOUT, REPLY_TIMEOUT},
};
use crate::{
    backend::Undo,
    base::process::{Ending, Group, Identity},
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

    pub(crate) fn gate(&self) -> PathBuf {
        self.stem.with_extension("gate")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.stem.with_extension("lock")
    }

    /// Removes the log that a throwaway session keeps in the runtime directory, once the backend has ended normally.
    pub(crate) fn remove_log(&self) {
        for ending in ["log", "old"] {
            let _ = fs::remove_file(self.stem.with_extension(ending));
        }
    }

    /// Returns the current or last holder of the lock, as written in its file.
    pub(crate) fn holder(&self) -> Option<Holder> {
        LockFile::open_existing(&self.lock()).ok().and_then(|mut lock| lock.holder())
    }

    /// Returns whether a dead keeper left something to clean up.
    pub(crate) fn has_leftovers(&self) -> bool {
        self.holder().is_some_and(|holder| holder.has_leftovers())
    }

    /// Returns whether sessions of a dead keeper may be about to start its replacement.
    pub(crate) fn has_waiting_sessions(&self) -> bool {
        self.holder().is_some_and(|holder| holder.has_waiting_sessions())
    }

    /// Returns how long to wait for the keeper before taking `step`. A keeper that says in its lock file that it is
    /// shutting down gets longer before it is killed.
    pub(crate) fn timeout_before(&self, step: Escalation) -> Duration {
        let ending = step == Escalation::Kill && self.holder().is_some_and(|holder| holder.ending);
        if ending { CLEANUP_TIMEOUT } else { REPLY_TIMEOUT }
    }

    /// Wakes or kills the keeper that holds the lock.
    pub(crate) async fn escalate(&self, step: Escalation) {
        let Some(holder) = self.holder() else {
            return;
        };
        match step {
            Escalation::Wake => holder.keeper.signal(Signal::CONT),
            Escalation::Kill => {
                holder.keeper.signal(Signal::KILL);
                if let Some(backend) = holder.backend {
                    backend.end(Ending::Kill).await;
                }
            }
        }
    }
}

/// What to do about a keeper that doesn't answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Escalation {
    /// Send SIGCONT: the keeper may be suspended, and on this signal it recreates a deleted socket file.
    Wake,
    /// Kill the keeper and its backend.
    Kill,
}

/// The content of a lock file: the keeper that holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub keeper: Identity,
    /// What it runs, shown to the user.
    #[serde(default)]
    pub about: KeeperInfo,
    pub backend: Option<Group>,
    /// How to undo changes to a server that lclaude doesn't own, in the order the changes were made.
    #[serde(default)]
    pub undo: Vec<Undo>,
    /// Whether it is shutting down.
    #[serde(default)]
    pub ending: bool,
    /// Whether it is shutting down while sessions still hold leases.
    #[serde(default)]
    pub abandons: bool,
}

impl Holder {
    /// Returns the holder with nothing left to clean up.
    pub(crate) fn cleaned_up(self) -> Self {
        Holder { backend: None, undo: Vec::new(), ending: true, ..self }
    }

    /// Returns whether its backend still runs or a change is not undone yet.
    pub(crate) fn is_left_behind(&self) -> bool {
        self.backend.is_some_and(Group::is_there) || !self.undo.is_empty()
    }

    /// Returns whether its backend or a change was never cleaned up, even if the backend has exited since.
    pub(crate) fn has_leftovers(&self) -> bool {
        self.backend.is_some() || !self.undo.is_empty()
    }

    /// Returns whether sessions may be about to start a replacement.
    pub(crate) fn has_waiting_sessions(&self) -> bool {
        self.abandons || self.backend.is_some()
    }
}

/// An open lock file. Dropping it releases the lock.
pub(crate) struct LockFile(File);

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

    /// Takes the lock if it is free; returns `false` if another process holds it.
    pub(crate) fn try_lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Writes `holder` to the file. Errors are ignored, since a full disk must not stop a keeper.
    pub(crate) fn write_holder(&mut self, holder: &Holder) {
        let text = serde_json::to_vec(holder).expect("plain data");
        let _ = self.0.set_len(0).and_then(|()| self.0.seek(SeekFrom::Start(0))).and_then(|_| self.0.write_all(&text));
    }

    pub(crate) fn holder(&mut self) -> Option<Holder> {
        let mut text = String::new();
        self.0.seek(SeekFrom::Start(0)).and_then(|_| self.0.read_to_string(&mut text)).ok()?;
        serde_json::from_str(&text).ok()
    }
}
