//! The record of a keeper: everything that its successor needs if it is killed.
//!
//! It is replaced as a whole, so a reader never sees half of it, and whoever kills a keeper loses nothing of it.

use std::{
    cell::{Cell, RefCell},
    fs,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{files::PlanFiles, report::KeeperInfo, timeouts::REPLY_TIMEOUT};
use crate::{
    backend::{Endpoint, Undo},
    base::{
        disk, failpoint,
        process::{Group, Identity},
    },
};

/// What a keeper runs, and what it has changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub keeper: Identity,
    /// Its guard, which ends after it.
    #[serde(default)]
    pub guard: Option<Identity>,
    /// Shown to the user.
    #[serde(default)]
    pub about: KeeperInfo,
    /// Where Claude Code expects the backend as long as sessions use it. Its key is why the file is private.
    #[serde(default)]
    pub endpoint: Option<Endpoint>,
    pub backend: Option<Group>,
    /// How to undo changes to a server that lclaude doesn't own, in the order the changes were made.
    #[serde(default)]
    pub undo: Vec<Undo>,
    /// Whether the keeper is shutting down.
    #[serde(default)]
    pub ending: bool,
}

impl Record {
    /// Returns the record of this process.
    pub(crate) fn of_self(about: KeeperInfo, guard: Option<Identity>) -> Self {
        let keeper = Identity::of_self();
        // Without /proc nothing can be signaled.
        let keeper = keeper.unwrap_or(Identity { pid: std::process::id().cast_signed(), start: 0 });
        Record { keeper, guard, about, endpoint: None, backend: None, undo: Vec::new(), ending: false }
    }

    /// Marks everything as cleaned up. Keeps the endpoint, for sessions that go on to another keeper.
    pub(crate) fn clean_up(&mut self) {
        (self.backend, self.undo, self.ending) = (None, Vec::new(), true);
    }

    /// Ends the backend of a dead keeper.
    pub(crate) async fn end(&self) {
        if let Some(backend) = self.backend {
            backend.kill().await;
        }
    }

    /// Waits for the guard of a dead keeper, which ends soon, unless this process is the guard.
    pub(crate) async fn wait_for_guard(&self) {
        if let Some(guard) = self.guard.filter(|guard| Some(*guard) != Identity::of_self()) {
            guard.ends_within(REPLY_TIMEOUT).await;
        }
    }

    /// Returns whether its backend still runs or a change is not undone yet.
    pub(crate) fn is_left_behind(&self) -> bool {
        self.backend.is_some_and(Group::is_there) || !self.undo.is_empty()
    }

    /// Returns whether its backend or a change was never cleaned up, even if the backend has exited since.
    pub(crate) fn has_leftovers(&self) -> bool {
        self.backend.is_some() || !self.undo.is_empty()
    }

    /// Returns whether a dead keeper of this plan left something to clean up.
    pub(crate) fn is_left(files: &PlanFiles) -> bool {
        Self::read(files).is_some_and(|record| record.has_leftovers())
    }

    /// Returns the record in the plan's files.
    pub(crate) fn read(files: &PlanFiles) -> Option<Self> {
        serde_json::from_slice(&fs::read(files.record()).ok()?).ok()
    }

    /// Replaces the record in the plan's files. Only the holder of the plan's lock may do that.
    ///
    /// # Errors
    /// Any error of the file system, such as a full disk, which must not stop a keeper.
    pub(crate) fn write(&self, files: &PlanFiles) -> io::Result<()> {
        let (file, new) = (files.record(), files.record().with_extension("new"));
        let content = serde_json::to_vec(self).expect("plain data");
        let written = disk::private().write(true).create(true).truncate(true).open(&new);
        failpoint::reach("record-created");
        let written = written.and_then(|mut written| written.write_all(&content));
        failpoint::reach("record-written");
        let replaced = written.and_then(|()| fs::rename(&new, file));
        failpoint::reach("record-replaced");
        // It doesn't survive the machine, and neither does what it names, so nothing waits for the disk.
        replaced.inspect_err(|_| drop(fs::remove_file(&new)))
    }
}

/// Keeps the record of a running keeper up to date. It is written by another thread, since a disk may be slow.
pub(crate) struct Recorder {
    files: PlanFiles,
    record: RefCell<Record>,
    changes: Cell<u64>,
    /// The number of the change that was written last.
    written: Arc<Mutex<u64>>,
}

impl Recorder {
    pub(crate) fn new(files: PlanFiles, record: Record) -> Self {
        Recorder { files, record: RefCell::new(record), changes: Cell::new(0), written: Arc::default() }
    }

    /// Returns what has to be undone.
    pub(crate) fn undo(&self) -> Vec<Undo> {
        self.record.borrow().undo.clone()
    }

    /// Changes the record and returns once it is written, or after a time limit. A write goes on if this is canceled, and never replaces a newer
    /// one.
    pub(crate) async fn change(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record.borrow_mut());
        let number = self.changes.get() + 1;
        self.changes.set(number);
        let (record, files, written) = (self.record.borrow().clone(), self.files.clone(), self.written.clone());
        let write = move || {
            let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
            if *written < number {
                *written = number;
                if let Err(error) = record.write(&files) {
                    tracing::warn!(%error, "the keeper's record was not written");
                }
            }
        };
        // A disk that hangs must not keep the backend from being ended.
        let _ = timeout(REPLY_TIMEOUT, tokio::task::spawn_blocking(write)).await;
    }
}
