//! Makes the files of a running keeper again when somebody deletes them or their directory: a user, or a program that
//! cleans up. Without them a newcomer would start a second backend.
//!
//! The keeper waits for an event of the system, so that it never wakes up otherwise. A private directory of a session isn't
//! made again: its Claude Code has read what was in it.

use std::{
    cell::RefCell,
    fs::{self, File},
    future::pending,
    io,
    path::Path,
    time::Duration,
};

use tokio::time::sleep;

use super::{files::PlanFiles, lock::LockFile, record::Recorder};
use crate::base::{
    paths, scratch,
    socket::{self, Listener},
    watch::{Changes, DirectoryWatch},
};

/// How often files are made again that are deleted at once.
const TRIES: u32 = 20;
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// Watches over the files of a keeper.
pub(crate) struct Restorer<'a> {
    runtime: &'a Path,
    files: &'a PlanFiles,
    recorder: &'a Recorder,
    /// The plan's lock, held by this keeper.
    lock: &'a RefCell<LockFile>,
    /// `None` if the directory can't be watched. The keeper then looks only when it is woken.
    watch: Option<DirectoryWatch>,
    /// Keeps systemd-tmpfiles away while no session does.
    shared: Option<File>,
    /// Held for the sessions, whose own locks are on a file that was deleted.
    in_use: Option<LockFile>,
}

impl<'a> Restorer<'a> {
    pub(crate) fn new(
        runtime: &'a Path,
        files: &'a PlanFiles,
        recorder: &'a Recorder,
        lock: &'a RefCell<LockFile>,
    ) -> Self {
        // Sessions lock it; from now on it is missing only if it was deleted.
        let _ = LockFile::open(&files.lease());
        let (watch, shared) = (DirectoryWatch::new(runtime, Changes::Removed).ok(), scratch::lock_runtime(runtime));
        Restorer { runtime, files, recorder, lock, watch, shared, in_use: None }
    }

    /// Returns once one of the keeper's files is gone. May be dropped and called again.
    pub(crate) async fn vanished(&mut self) {
        loop {
            if self.watch.is_some() && self.is_incomplete() {
                return;
            }
            let Some(watch) = &mut self.watch else {
                return pending().await;
            };
            if watch.changed().await.is_err() {
                self.watch = None;
            }
        }
    }

    /// Makes whatever is missing again. Returns a new socket, or `None` if nothing is missing.
    ///
    /// # Errors
    /// Those of the file system, or if another keeper was faster. The keeper's sessions go on, but nobody finds it, until it
    /// is woken and succeeds.
    pub(crate) async fn recreate(&mut self) -> io::Result<Option<Listener>> {
        let mut created = Ok(None);
        for _ in 0..TRIES {
            if !self.is_incomplete() {
                return created;
            }
            created = self.create().await.map(Some);
            self.watch = DirectoryWatch::new(self.runtime, Changes::Removed).ok();
            // Whoever deletes a directory may not be done yet.
            sleep(PAUSE).await;
        }
        // It would try without end.
        self.watch = None;
        created
    }

    async fn create(&mut self) -> io::Result<Listener> {
        paths::ready_runtime(self.runtime).map_err(|failure| io::Error::other(failure.what))?;
        if !self.lock.borrow().is_at(&self.files.lock()) {
            let lock = LockFile::open(&self.files.lock())?;
            if !lock.try_lock()? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.lock.replace(lock);
        }
        self.recorder.change(|_| {}).await;
        if !exists(&self.files.lease()) {
            self.in_use = self.files.share_lease();
        }
        let listener = listen(self.files)?;
        self.shared = scratch::lock_runtime(self.runtime);
        tracing::info!(pid = std::process::id(), "the keeper's files were deleted; made them again");
        Ok(listener)
    }

    fn is_incomplete(&self) -> bool {
        let files = self.files;
        ![files.socket(), files.record(), files.lock(), files.lease()].iter().all(|file| exists(file))
    }
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Creates the plan's socket.
pub(crate) fn listen(files: &PlanFiles) -> io::Result<Listener> {
    let _ = fs::remove_file(files.socket());
    socket::listen(&files.socket())
}
