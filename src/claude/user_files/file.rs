//! Claude Code's JSON files, and the lock it takes before it writes one: a directory named `FILE.lock` (seen in 2.1.331).

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde_json::{Map, Value};

use crate::base::disk;

/// An older lock belongs to a process that was killed.
const STALE_AFTER: Duration = Duration::from_secs(10);
/// Claude Code writes without the lock after as long.
const TRIES: u32 = 50;
const INTERVAL: Duration = Duration::from_millis(10);

/// The lock of one file, released when dropped.
pub(super) struct Lock(Option<PathBuf>);

/// Takes the lock of `file`, and returns the path to write to: a symlink stays one.
pub(super) fn lock(file: &Path) -> (PathBuf, Lock) {
    let lock = Lock::take(file);
    (file.canonicalize().unwrap_or_else(|_| file.to_owned()), lock)
}

impl Lock {
    /// Waits up to half a second for the lock, and then goes on without it.
    fn take(file: &Path) -> Self {
        let mut name = file.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        for _ in 0..TRIES {
            match fs::create_dir(&path) {
                Ok(()) => return Lock(Some(path)),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => break,
                Err(_) if is_stale(&path) => drop(fs::remove_dir(&path)),
                // Nothing reports that a directory was removed on every system.
                Err(_) => thread::sleep(INTERVAL),
            }
        }
        Lock(None)
    }
}

fn is_stale(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age > STALE_AFTER)
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_dir(path);
        }
    }
}

/// Sets a key to its earlier value, or removes it if it had none.
pub(super) fn put_back(object: &mut Map<String, Value>, key: &str, before: Option<&Value>) {
    match before {
        Some(value) => object.insert(key.to_owned(), value.clone()),
        None => object.shift_remove(key),
    };
}

/// Writes a file as Claude Code does.
pub(super) fn write(file: &Path, content: &Map<String, Value>) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(content)?;
    text.push(b'\n');
    disk::replace(file, &text)
}
