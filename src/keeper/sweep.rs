//! Cleanup after keepers and sessions that were killed: their backends and private files.
//!
//! Each keeper does this once, while its own backend loads, so that it delays no start.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{dead_session, files::PlanFiles, lock::LockFile, record::Record, timeouts::CLEANUP_TIMEOUT};
use crate::backend::registry;

/// How long the log of an unused plan is kept.
const LOG_RETENTION: Duration = Duration::from_secs(14 * 24 * 3600);

/// Time between two checks whether somebody else's cleanup is done.
const CLEANUP_CHECK: Duration = Duration::from_millis(20);

/// Removes what dead sessions left in `places`, and old logs from `logs`, off the keeper's thread.
pub(crate) async fn remove_old_files(places: Vec<PathBuf>, logs: Option<PathBuf>) {
    let removed = spawn_blocking(move || {
        drop(dead_session::claim_all(&places));
        // A throwaway session logs to the runtime directory, whose other files must not be removed by age.
        if let Some(logs) = logs.filter(|logs| !places.contains(logs)) {
            remove_old_logs(&logs);
        }
    });
    let _ = removed.await;
}

fn remove_old_logs(logs: &Path) {
    for log in fs::read_dir(logs).into_iter().flatten().flatten() {
        let age = log.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > LOG_RETENTION) {
            let _ = fs::remove_file(log.path());
        }
    }
}

/// Cleans up after all dead keepers in `places`.
pub(crate) async fn clean_up_all(places: Vec<PathBuf>) {
    let plans = spawn_blocking(move || plans(&places));
    for (place, id) in plans.await.unwrap_or_default() {
        clean_up(&PlanFiles::new(&place, &id)).await;
    }
}

/// Returns the runtime directory and the ID of all plans that ever had a keeper.
pub(crate) fn plans(places: &[PathBuf]) -> Vec<(PathBuf, String)> {
    let entries = places.iter().flat_map(fs::read_dir).flatten().flatten().map(|entry| entry.path());
    let records = entries.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    records.filter_map(|path| Some((path.parent()?.to_owned(), path.file_stem()?.to_str()?.to_owned()))).collect()
}

/// Removes what a dead keeper of the plan left behind, unless another keeper exists. Holding the plan's lock meanwhile
/// keeps a new keeper from starting.
pub(crate) async fn clean_up(files: &PlanFiles) {
    let Some(lock) = lock_unused(files).await else {
        return;
    };
    let plan = files.clone();
    let left = spawn_blocking(move || {
        plan.remove_all();
        let mut left = Record::read(&plan).filter(|left| left.has_leftovers() || left.endpoint.is_some())?;
        // Whoever needs the lock waits longer for one that cleans up.
        left.ending = true;
        let _ = left.write(&plan);
        Some(left)
    });
    if let Ok(Some(mut left)) = left.await {
        left.end().await;
        for undo in left.undo.iter().rev() {
            registry::undo(undo).await;
        }
        left.clean_up();
        // Sessions that still use it go on to another keeper, with the same address and key.
        left.endpoint.take_if(|_| files.is_unused());
        let _ = left.write(files);
        // It may need the lock too.
        drop(lock);
        left.wait_for_guard().await;
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
