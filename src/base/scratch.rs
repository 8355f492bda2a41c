//! A session's private directory, which holds its settings overlay and its throwaway home.
//!
//! The session holds an exclusive lock (`flock`) on the directory for its whole life, and removes the directory before it
//! releases the lock. A directory whose lock is free is thus that of a dead session. Its keeper removes it, or the next
//! lclaude. A PID wouldn't do: a session in another PID namespace may use the same runtime directory. Removal copes with
//! files that are still written and with read-only directories, and never follows symlinks.
//!
//! Both systems lock directories like files: Linux any inode, and macOS any vnode that isn't a FIFO (`VNOP_ADVLOCK` in
//! xnu's `kpi_vfs.c`). systemd-tmpfiles doesn't age a directory on which somebody holds such a lock, nor anything in it
//! (tmpfiles.d(5)), so a session also holds a shared lock on the runtime directory, which may be in `/tmp`.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{disk, error::Result};

/// Names in the runtime directory start with this prefix and the session's PID, which is only for people.
const PREFIX: &str = "session-";
/// Follows the name of a directory that is being removed.
const GONE: &str = "gone";

/// How often removal is tried while something still writes into the directory.
const TRIES: u32 = 10;
/// How often a directory is made that another process takes for a dead session's before it is locked.
const ATTEMPTS: u32 = 100;

/// A private directory, locked by this process: its own, or that of a dead session. It is removed when this value is
/// dropped.
pub(crate) struct Scratch {
    path: PathBuf,
    /// Closed after the directory is removed.
    _lock: File,
    _runtime: Option<File>,
}

impl Scratch {
    /// Creates this session's directory in `runtime`.
    ///
    /// # Errors
    /// `Config` when the runtime directory is unusable.
    pub(crate) fn make(runtime: &Path) -> Result<Self> {
        let failed = |error| crate::base::paths::runtime_unusable(runtime, error);
        let prefix = format!("{PREFIX}{}-", std::process::id());
        for _ in 0..ATTEMPTS {
            let private = fs::Permissions::from_mode(0o700);
            let made = tempfile::Builder::new().prefix(&prefix).permissions(private).tempdir_in(runtime);
            let path = made.map_err(failed)?.keep();
            match open(&path).and_then(|lock| lock.try_lock().map_err(io::Error::from).map(|()| lock)) {
                Ok(lock) if is_at(&lock, &path) => {
                    return Ok(Scratch { path, _lock: lock, _runtime: lock_runtime(runtime) });
                }
                // Before it was locked, somebody found it and took it for a dead session's.
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotFound) => {}
                Err(error) => {
                    let _ = fs::remove_dir(&path);
                    return Err(failed(error));
                }
            }
        }
        Err(failed(io::ErrorKind::AlreadyExists.into()))
    }

    /// Takes over the directory of a dead session. Returns `None` if its session lives, or if another process removes it.
    pub(crate) fn of_dead_session(path: &Path) -> Option<Self> {
        Self::take_over(path, |lock| lock.try_lock().is_ok())
    }

    /// Like [`Scratch::of_dead_session`] for a session that is known to be dying, or dead. Blocks the thread until the
    /// kernel has released its lock.
    pub(crate) fn of_dying_session(path: &Path) -> Option<Self> {
        // The session may have been killed while it removed the directory.
        Self::take_over(path, |lock| lock.lock().is_ok())
            .or_else(|| Self::take_over(&path.with_extension(GONE), |lock| lock.lock().is_ok()))
    }

    fn take_over(path: &Path, lock: impl Fn(&File) -> bool) -> Option<Self> {
        if !is_private(path) {
            return None;
        }
        let file = open(path).ok().filter(lock)?;
        is_at(&file, path).then(|| Scratch { path: path.to_owned(), _lock: file, _runtime: None })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the directory without blocking the event loop: a home can contain a hundred thousand files.
    pub(crate) async fn remove(self) {
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Returns whether `path` has the name of a session's private directory.
pub(crate) fn is_private(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX))
}

/// Returns whether the session with this private directory lives.
pub(crate) fn is_alive(path: &Path) -> bool {
    is_private(path) && open(path).is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}

/// Returns the private directories in `runtime`, of live and dead sessions.
pub(crate) fn list(runtime: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(runtime).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| is_private(path))
}

/// Takes a shared lock on the runtime directory, which keeps systemd-tmpfiles away. Returns `None` if that fails: a
/// session works without it.
pub(crate) fn lock_runtime(runtime: &Path) -> Option<File> {
    open(runtime).ok().filter(|lock| lock.try_lock_shared().is_ok())
}

/// Opens a directory, without following a symlink.
fn open(directory: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(directory)
}

/// Returns whether `path` still names the open directory.
fn is_at(directory: &File, path: &Path) -> bool {
    let (opened, named) = (directory.metadata(), fs::symlink_metadata(path));
    opened.is_ok_and(|opened| named.is_ok_and(|named| disk::is_same(&opened, &named)))
}

/// Removes the directory and everything in it.
fn remove(directory: &Path) {
    // Renamed first, so that a process that outlives Claude Code can't refill the directory under its old path.
    let gone = directory.with_extension(GONE);
    let renamed = fs::rename(directory, &gone).is_ok();
    // An earlier lclaude may have died after it renamed the directory.
    remove_all(&gone);
    if !renamed {
        remove_all(directory);
    }
}

fn remove_all(directory: &Path) {
    // Takes no descriptor, of which there may be none left.
    if fs::remove_dir(directory).is_ok() {
        return;
    }
    for _ in 0..TRIES {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => make_writable(directory),
            // A file was added meanwhile.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            // The next lclaude removes whatever is left after an error.
            _ => return,
        }
    }
}

/// Makes the directory and all directories below it writable: package caches, for one, are read-only.
fn make_writable(directory: &Path) {
    let _ = fs::set_permissions(directory, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn directory_is_removed_while_others_write_into_it() {
        let runtime = tempfile::tempdir().expect("a directory");
        let scratch = Scratch::make(runtime.path()).expect("a directory");
        let inside = scratch.path().join("inside");
        fs::create_dir(&inside).expect("a directory");
        let (started, stop) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|threads| {
            for writer in 0..4 {
                let (inside, started, stop) = (&inside, &started, &stop);
                threads.spawn(move || {
                    for number in 0.. {
                        let written = fs::write(inside.join(format!("{writer}-{number}")), "").is_ok();
                        started.fetch_or(written, Ordering::SeqCst);
                        if stop.load(Ordering::SeqCst) {
                            return;
                        }
                    }
                });
            }
            while !started.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            drop(scratch);
            let left: Vec<_> = fs::read_dir(runtime.path()).expect("a directory").collect();
            stop.store(true, Ordering::SeqCst);
            assert!(left.is_empty(), "{left:?}");
        });
    }

    #[test]
    #[expect(clippy::used_underscore_binding, reason = "the lock is held, and else not used")]
    fn directory_is_taken_over_only_after_its_session_has_ended() {
        let runtime = tempfile::tempdir().expect("a directory");
        let scratch = Scratch::make(runtime.path()).expect("a directory");
        let path = scratch.path().to_owned();
        assert!(is_alive(&path) && Scratch::of_dead_session(&path).is_none());
        // A killed session's lock is released, and its directory stays.
        scratch._lock.unlock().expect("it was locked");
        assert!(!is_alive(&path));
        let taken = Scratch::of_dead_session(&path).expect("its session is dead");
        assert!(Scratch::of_dead_session(&path).is_none(), "two processes remove it");
        drop(taken);
        assert!(!path.exists());
        assert!(Scratch::of_dead_session(&path).is_none() && Scratch::of_dying_session(&path).is_none());
        drop(scratch);
    }

    #[test]
    fn removal_that_was_interrupted_is_continued() {
        let runtime = tempfile::tempdir().expect("a directory");
        let path = runtime.path().join("session-1-x");
        fs::create_dir(path.with_extension(GONE)).expect("a directory");
        drop(Scratch::of_dying_session(&path).expect("its session is dead"));
        assert_eq!(fs::read_dir(runtime.path()).expect("a directory").count(), 0);
        for name in ["0123.lock", "other", "verdicts.json"] {
            let other = runtime.path().join(name);
            fs::create_dir(&other).expect("a directory");
            assert!(Scratch::of_dead_session(&other).is_none(), "{name}");
        }
        let link = runtime.path().join("session-1-link");
        std::os::unix::fs::symlink(runtime.path(), &link).expect("a link");
        assert!(Scratch::of_dead_session(&link).is_none());
    }

    #[test]
    fn sessions_start_while_dead_ones_are_removed() {
        let runtime = tempfile::tempdir().expect("a directory");
        let stop = AtomicBool::new(false);
        thread::scope(|threads| {
            threads.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    list(runtime.path()).filter_map(|path| Scratch::of_dead_session(&path)).for_each(drop);
                }
            });
            for _ in 0..1000 {
                let scratch = Scratch::make(runtime.path()).expect("a directory");
                assert!(scratch.path().exists(), "the directory of a live session was removed");
            }
            stop.store(true, Ordering::SeqCst);
        });
    }
}
