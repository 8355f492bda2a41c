//! Cleanup after keepers and sessions that were killed: their backends and private files.
//!
//! Each keeper does this once, while its own backend loads, so that it delays no start.

use std::{fs, path::Path, time::Duration};

use super::files::{Holder, LockFile};
use crate::{
    backend::registry,
    base::{
        process::{Ending, Identity},
        scratch,
    },
    claude::user_files,
};

/// How long the log of an unused plan is kept.
const LOG_RETENTION: Duration = Duration::from_secs(14 * 24 * 3600);

/// Removes old logs from `logs` and everything that dead sessions and keepers left in `runtime`.
pub(crate) async fn sweep(runtime: &Path, logs: Option<&Path>) {
    // A throwaway session logs to the runtime directory, whose other files must not be removed by age.
    let logs = logs.filter(|logs| *logs != runtime);
    for log in logs.and_then(|logs| fs::read_dir(logs).ok()).into_iter().flatten().flatten() {
        let age = log.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > LOG_RETENTION) {
            let _ = fs::remove_file(log.path());
        }
    }

    remove_dead_sessions(runtime);
    for entry in fs::read_dir(runtime).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == "lock") {
            clean_up(&path).await;
        }
    }
}

/// Removes the private directories of dead sessions, which may contain a token.
pub(crate) fn remove_dead_sessions(runtime: &Path) {
    for entry in fs::read_dir(runtime).into_iter().flatten().flatten() {
        let path = entry.path();
        if scratch::owner(&path).is_some_and(|pid| Identity::of(pid).is_none()) {
            user_files::restore(&path);
            scratch::remove(&path);
        }
    }
}

/// Removes what a dead keeper left behind, if nobody holds its lock at `path`. Holding that lock meanwhile keeps a new
/// keeper from starting.
pub(crate) async fn clean_up(path: &Path) {
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
        lock.write_holder(&left.cleaned_up());
    }
}
