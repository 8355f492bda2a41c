//! Cleanup after keepers and sessions that were killed: their backends and private files.
//!
//! Each keeper does this once, while its own backend loads, so that it delays no start.

use std::{fs, path::Path, time::Duration};

use tokio::time::{Instant, sleep};

use super::{files::PlanFiles, lock::LockFile, record::Record, timeouts::CLEANUP_TIMEOUT};
use crate::{
    backend::registry,
    base::{process::Identity, scratch},
    claude::user_files,
};

/// How long the log of an unused plan is kept.
const LOG_RETENTION: Duration = Duration::from_secs(14 * 24 * 3600);

/// Time between two checks whether somebody else's cleanup is done.
const CLEANUP_CHECK: Duration = Duration::from_millis(20);

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
    for id in plan_ids(runtime) {
        clean_up(&PlanFiles::new(runtime, &id)).await;
    }
}

/// Returns the IDs of all plans that ever had a keeper.
pub(crate) fn plan_ids(runtime: &Path) -> Vec<String> {
    let entries = fs::read_dir(runtime).into_iter().flatten().flatten().map(|entry| entry.path());
    let records = entries.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    records.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
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

/// Removes what a dead keeper of the plan left behind, unless another keeper exists. Holding the plan's lock meanwhile
/// keeps a new keeper from starting.
pub(crate) async fn clean_up(files: &PlanFiles) {
    let Some(_lock) = lock_unused(files).await else {
        return;
    };
    files.remove_all();
    if let Some(mut left) = Record::read(files).filter(Record::has_leftovers) {
        // Whoever needs the lock waits longer for one that cleans up.
        left.ending = true;
        let _ = left.write(files);
        left.end().await;
        for undo in left.undo.iter().rev() {
            registry::undo(undo).await;
        }
        left.clean_up();
        left.endpoint = None;
        let _ = left.write(files);
    }
}

/// Takes the plan's lock, unless a keeper runs. If another process is cleaning up after a dead keeper, waits for that: it
/// may be restoring a server that is needed now.
async fn lock_unused(files: &PlanFiles) -> Option<LockFile> {
    let lock = LockFile::open(&files.lock()).ok()?;
    if lock.try_lock().ok()? {
        return Some(lock);
    }
    let deadline = Instant::now() + CLEANUP_TIMEOUT;
    // A new keeper holds the lock shortly before it says so.
    while Record::read(files).is_some_and(|record| !record.keeper.is_alive()) && Instant::now() < deadline {
        sleep(CLEANUP_CHECK).await;
        if lock.try_lock().ok()? {
            return Some(lock);
        }
    }
    None
}
