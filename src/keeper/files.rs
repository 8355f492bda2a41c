//! A plan's files in the runtime directory, and the two locks that make one keeper of many that start at once.
//!
//! - `ID.gate`: held by a session while it looks for a keeper or starts one, so that sessions of the same millisecond
//!   queue up behind the first. Released as soon as the keeper listens.
//! - `ID.lock`: held by the keeper until its backend is gone. It contains who holds it and what it runs.
//! - `ID.sock`: there only while the keeper takes new sessions.
//!
//! Locks are the kernel's and end with their holder; the files stay, since removing one would let two hold "the" lock.

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
    patience::{ENDING_PATIENCE, PATIENCE},
    report::About,
};
use crate::{
    backend::Undo,
    base::process::{Ending, Group, Identity},
};

#[derive(Debug, Clone)]
pub struct PlanFiles {
    stem: PathBuf,
}

impl PlanFiles {
    pub fn new(runtime: &Path, id: &str) -> Self {
        PlanFiles { stem: runtime.join(id) }
    }

    pub fn socket(&self) -> PathBuf {
        self.stem.with_extension("sock")
    }

    pub fn gate(&self) -> PathBuf {
        self.stem.with_extension("gate")
    }

    pub fn lock(&self) -> PathBuf {
        self.stem.with_extension("lock")
    }

    /// Removes the log of a backend that ended well from the runtime directory, where a throwaway session has it.
    pub fn forget_log(&self) {
        for ending in ["log", "old"] {
            let _ = fs::remove_file(self.stem.with_extension(ending));
        }
    }

    /// What the lock says of who holds it, or last held it.
    pub fn holder(&self) -> Option<Holder> {
        LockFile::existing(&self.lock()).ok().and_then(|mut lock| lock.holder())
    }

    /// Whether a keeper that has gone could not tidy up.
    pub fn has_leftovers(&self) -> bool {
        self.holder().is_some_and(|holder| holder.has_leftovers())
    }

    /// Whether sessions of a keeper that has gone may be about to have another one.
    pub fn has_heirs(&self) -> bool {
        self.holder().is_some_and(|holder| holder.has_heirs())
    }

    /// How long an answer is waited for before the keeper is roused. One that is at work on its own end says so in its
    /// lock, and may take its time.
    pub fn patience(&self, before: Rouse) -> Duration {
        let ending = before == Rouse::Kill && self.holder().is_some_and(|holder| holder.ending);
        if ending { ENDING_PATIENCE } else { PATIENCE }
    }

    pub async fn rouse(&self, how: Rouse) {
        let Some(holder) = self.holder() else {
            return;
        };
        match how {
            Rouse::Wake => holder.keeper.signal(Signal::CONT),
            Rouse::Kill => {
                holder.keeper.signal(Signal::KILL);
                if let Some(backend) = holder.backend {
                    backend.end(Ending::Kill).await;
                }
            }
        }
    }
}

/// What is done about a keeper that does not answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rouse {
    /// It may have been stopped; or its socket's file was deleted, which it looks after when it is woken.
    Wake,
    /// With its backend.
    Kill,
}

/// What a lock's file says of its holder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Holder {
    pub keeper: Identity,
    /// What it runs, for people.
    #[serde(default)]
    pub about: About,
    pub backend: Option<Group>,
    /// What was done to a server that goes on without us, in the order it was done.
    #[serde(default)]
    pub undo: Vec<Undo>,
    /// Whether it is ending what it holds.
    #[serde(default)]
    pub ending: bool,
    /// Whether it does so although sessions hold on.
    #[serde(default)]
    pub abandons: bool,
}

impl Holder {
    /// A keeper that has left nothing behind.
    pub fn tidy(self) -> Self {
        Holder { backend: None, undo: Vec::new(), ending: true, ..self }
    }

    /// Whether anything that it had to end is still there.
    pub fn left_something(&self) -> bool {
        self.backend.is_some_and(Group::is_there) || !self.undo.is_empty()
    }

    pub fn has_leftovers(&self) -> bool {
        self.backend.is_some() || !self.undo.is_empty()
    }

    /// Whether there may be sessions that are about to have another keeper in its place.
    pub fn has_heirs(&self) -> bool {
        self.abandons || self.backend.is_some()
    }
}

/// A lock file, opened; dropping it lets go of the lock.
pub struct LockFile(File);

impl LockFile {
    pub fn open(path: &Path) -> io::Result<Self> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        options.map(LockFile)
    }

    /// One that is there already; asking for it makes none.
    pub fn existing(path: &Path) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).open(path).map(LockFile)
    }

    /// Waits in the kernel, so it belongs on a thread that may block.
    pub fn lock(&self) -> io::Result<()> {
        self.0.lock()
    }

    /// `false` when another process holds it.
    pub fn try_lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Leaves word for others; a full disk must not stop a keeper, so a failure is let pass.
    pub fn write_holder(&mut self, holder: &Holder) {
        let text = serde_json::to_vec(holder).expect("plain data");
        let _ = self.0.set_len(0).and_then(|()| self.0.seek(SeekFrom::Start(0))).and_then(|_| self.0.write_all(&text));
    }

    pub fn holder(&mut self) -> Option<Holder> {
        let mut text = String::new();
        self.0.seek(SeekFrom::Start(0)).and_then(|_| self.0.read_to_string(&mut text)).ok()?;
        serde_json::from_str(&text).ok()
    }
}
