//! A keeper that doesn't answer: how to name it, and what to do about it.
//!
//! It may be suspended, its machine may be swapping, or its disk may be slow. It is woken, and waited for. A session kills
//! it only while no session uses its backend; otherwise the user decides.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::timeout;

use super::{
    files::PlanFiles,
    lock::LockFile,
    record::Record,
    timeouts::{BUSY_TIMEOUT, CLEANUP_TIMEOUT, REPLY_TIMEOUT},
};
use crate::base::{
    error::{Code, Failure},
    process::Identity,
    wait::WORD_AFTER,
};

/// Returns a name for the plan's keeper.
pub(crate) fn name(files: &PlanFiles) -> String {
    match Record::read(files) {
        Some(record) => format!("the backend's keeper (process {})", record.keeper.pid),
        None => "the backend's keeper".into(),
    }
}

/// Returns the failure for a session that needs this keeper.
pub(crate) fn failure(files: &PlanFiles) -> Failure {
    let id: String = files.id().chars().take(8).collect();
    Failure::new(Code::Unavailable, format!("{} doesn't answer", name(files)))
        .cause("it was woken and waited for, and other sessions may be using its backend")
        .help(format!("lclaude local stop {id} --yes  # ends the backend and the sessions that use it"))
}

/// Waits for something that the keeper does at once when it is asked, and wakes it if it doesn't. Returns `None` if it
/// didn't do it even then.
pub(crate) async fn wait_for<T>(files: &PlanFiles, done: impl Future<Output = T>) -> Option<T> {
    let mut done = std::pin::pin!(done);
    if let Ok(done) = timeout(WORD_AFTER, &mut done).await {
        return Some(done);
    }
    wake(files);
    timeout(patience(files), done).await.ok()
}

/// Returns how long to wait for a keeper that was woken. One that is shutting down gets longest, and one that others use
/// longer than one that nobody uses.
pub(crate) fn patience(files: &PlanFiles) -> Duration {
    match Record::read(files) {
        Some(record) if record.ending => CLEANUP_TIMEOUT,
        _ if files.is_unused() => REPLY_TIMEOUT,
        _ => BUSY_TIMEOUT,
    }
}

/// Wakes the keeper, since it may be suspended. On this signal it also makes deleted files again.
pub(crate) fn wake(files: &PlanFiles) {
    if let Some(record) = Record::read(files) {
        record.keeper.signal(Signal::CONT);
        // It may still hold the lock of a killed keeper.
        if let Some(guard) = record.guard {
            guard.signal(Signal::CONT);
        }
    }
}

/// Returns the keeper in the plan's record.
pub(crate) fn keeper(files: &PlanFiles) -> Option<Identity> {
    Record::read(files).map(|record| record.keeper)
}

/// Kills `keeper` and its backend, or what is left of them, unless another keeper has followed it. Returns when the
/// plan's lock is free, which the kernel releases a moment later.
pub(crate) async fn kill(files: &PlanFiles, keeper: Option<Identity>) {
    if let Some(record) = signal_to_die(files, keeper) {
        wait_for_end(files, &record).await;
    }
}

/// Kills `keeper`, or its guard if it is dead, and returns its record.
fn signal_to_die(files: &PlanFiles, keeper: Option<Identity>) -> Option<Record> {
    let record = Record::read(files).filter(|record| Some(record.keeper) == keeper)?;
    if record.keeper.is_alive() {
        record.keeper.signal(Signal::KILL);
    } else if let Some(guard) = record.guard {
        guard.signal(Signal::KILL);
    }
    Some(record)
}

/// Kills the backend of a killed keeper, and waits until the plan's lock is free.
async fn wait_for_end(files: &PlanFiles, record: &Record) {
    if let Some(backend) = record.backend {
        backend.kill().await;
    }
    if let Ok(lock) = LockFile::open_existing(&files.lock()) {
        let _ = timeout(REPLY_TIMEOUT, tokio::task::spawn_blocking(move || lock.lock())).await;
    }
}

/// Kills the keeper and its backend if no session uses them. Returns whether it did.
pub(crate) async fn kill_if_unused(files: &PlanFiles) -> bool {
    let Some(unused) = files.lock_unused() else { return false };
    let killed = signal_to_die(files, keeper(files));
    // Sessions that the next keeper answers must be able to share it.
    drop(unused);
    if let Some(record) = killed {
        wait_for_end(files, &record).await;
    }
    true
}
