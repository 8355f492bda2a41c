//! What was left where nobody could tidy up: the backend and the private files of processes that were killed together.
//!
//! A keeper does this once, while its own backend loads, so that no start waits for it.

use crate::backend::registry;
use std::{fs, path::Path, time::Duration};

use super::files::{Holder, LockFile};
use crate::base::{
    process::{Ending, Identity},
    scratch,
};

/// When the log of a plan that is no longer used is no longer kept.
const OLD_LOG: Duration = Duration::from_secs(14 * 24 * 3600);

pub async fn sweep(runtime: &Path, logs: Option<&Path>) {
    // In the runtime directory there are files that matter at any age.
    let logs = logs.filter(|logs| *logs != runtime);
    for log in logs.and_then(|logs| fs::read_dir(logs).ok()).into_iter().flatten().flatten() {
        let age = log.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > OLD_LOG) {
            let _ = fs::remove_file(log.path());
        }
    }

    sessions(runtime);
    for entry in fs::read_dir(runtime).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == "lock") {
            tidy_up(&path).await;
        }
    }
}

/// The private directories of sessions that are no more: a token may be in them.
pub fn sessions(runtime: &Path) {
    for entry in fs::read_dir(runtime).into_iter().flatten().flatten() {
        let path = entry.path();
        if scratch::owner(&path).is_some_and(|pid| Identity::of(pid).is_none()) {
            scratch::remove(&path);
        }
    }
}

/// What the keeper of another plan left that no longer holds its lock. It is seen to under that lock, so that no new
/// keeper comes between.
pub async fn tidy_up(path: &Path) {
    let Ok(mut lock) = LockFile::open(path) else {
        return;
    };
    if !lock.try_lock().unwrap_or(false) {
        return;
    }
    for ending in ["sock", "preset", "log", "old"] {
        let _ = fs::remove_file(path.with_extension(ending));
    }
    if let Some(left) = lock.holder().filter(Holder::has_leftovers) {
        if let Some(backend) = left.backend {
            backend.end(Ending::Kill).await;
        }
        for undo in left.undo.iter().rev() {
            registry::undo(undo).await;
        }
        lock.write_holder(&left.tidy());
    }
}
