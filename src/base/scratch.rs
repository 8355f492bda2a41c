//! A session's private directory, which holds its settings overlay and its throwaway home.
//!
//! The session removes it; if the session is killed, its keeper does, or the next lclaude. All of them use [`remove`],
//! which copes with files that are still written and with read-only directories, and never follows symlinks.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::error::Result;

/// Names in the runtime directory start with this prefix and the session's PID.
const PREFIX: &str = "session-";

/// How often removal is tried while something still writes into the directory.
const TRIES: u32 = 10;

/// A session's private directory, removed when this value is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Creates the directory in `runtime`.
    ///
    /// # Errors
    /// `Config` when the runtime directory is unusable.
    pub(crate) fn make(runtime: &Path) -> Result<Self> {
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let private = fs::Permissions::from_mode(0o700);
        let made = tempfile::Builder::new().prefix(&prefix).permissions(private).tempdir_in(runtime);
        made.map(|made| Scratch(made.keep())).map_err(|error| crate::base::paths::runtime_unusable(runtime, error))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Returns the PID of the session that the directory belongs to, or `None` if it isn't a session's.
pub(crate) fn owner(directory: &Path) -> Option<u32> {
    directory.file_name()?.to_str()?.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

/// Removes the directory and everything in it.
pub(crate) fn remove(directory: &Path) {
    // Renamed first, so that a process that outlives Claude Code can't refill the directory under its old path.
    let gone = directory.with_extension("gone");
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
    fn owner_is_the_pid_in_the_name() {
        assert_eq!(owner(Path::new("/run/lclaude/session-12-abc")), Some(12));
        assert_eq!(owner(Path::new("/run/lclaude/session-x")), None);
        assert_eq!(owner(Path::new("/run/lclaude/0123.lock")), None);
    }
}
