//! A session's private directory: its settings overlay, and a throwaway home.
//!
//! The session removes it, or else its keeper, or else the next lclaude: whoever is left. So it is removed from one
//! place, against all that may stand in the way, and never with what a link in it leads to.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::error::Result;

/// It is in the runtime directory, under this prefix and the session's process number.
const PREFIX: &str = "session-";

/// How often it is emptied when something still writes into it.
const TRIES: u32 = 10;

/// The directory, gone when the value is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// # Errors
    /// `Config` when the runtime directory is unusable.
    pub fn make(runtime: &Path) -> Result<Self> {
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let private = fs::Permissions::from_mode(0o700);
        let made = tempfile::Builder::new().prefix(&prefix).permissions(private).tempdir_in(runtime);
        made.map(|made| Scratch(made.keep())).map_err(|error| crate::base::paths::unusable(runtime, error))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// The process number of the session that a directory of this name belongs to.
pub fn owner(directory: &Path) -> Option<u32> {
    directory.file_name()?.to_str()?.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

/// Removes it with all that is in it.
pub fn remove(directory: &Path) {
    // Under another name first: what a process that outlives Claude Code goes on writing to its path then fails, instead
    // of filling it as fast as it is emptied.
    let gone = directory.with_extension("gone");
    let renamed = fs::rename(directory, &gone).is_ok();
    // Whoever renamed it before may have died over it.
    empty(&gone);
    if !renamed {
        empty(directory);
    }
}

fn empty(directory: &Path) {
    for _ in 0..TRIES {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => open_up(directory),
            // Another file came meanwhile.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            // What is left now, the next lclaude finds.
            _ => return,
        }
    }
}

/// Makes every directory below one that can be emptied: a package cache, say, is left read-only.
fn open_up(directory: &Path) {
    let _ = fs::set_permissions(directory, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
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
    fn what_still_writes_does_not_hold_it() {
        let runtime = tempfile::tempdir().expect("a directory");
        let scratch = Scratch::make(runtime.path()).expect("a directory");
        let inside = scratch.path().join("inside");
        fs::create_dir(&inside).expect("a directory");
        let (began, enough) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|threads| {
            for writer in 0..4 {
                let (inside, began, enough) = (&inside, &began, &enough);
                threads.spawn(move || {
                    for number in 0.. {
                        let written = fs::write(inside.join(format!("{writer}-{number}")), "").is_ok();
                        began.fetch_or(written, Ordering::SeqCst);
                        if enough.load(Ordering::SeqCst) {
                            return;
                        }
                    }
                });
            }
            while !began.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            drop(scratch);
            let left: Vec<_> = fs::read_dir(runtime.path()).expect("a directory").collect();
            enough.store(true, Ordering::SeqCst);
            assert!(left.is_empty(), "{left:?}");
        });
    }

    #[test]
    fn only_a_session_owns_one() {
        assert_eq!(owner(Path::new("/run/lclaude/session-12-abc")), Some(12));
        assert_eq!(owner(Path::new("/run/lclaude/session-x")), None);
        assert_eq!(owner(Path::new("/run/lclaude/0123.lock")), None);
    }
}
