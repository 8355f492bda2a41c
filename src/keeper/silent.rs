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
    timeouts::{BUSY_TIMEOUT, CLEANUP_TIMEOUT, REPLY_TIMEOUT, WORD_AFTER},
};
use crate::base::error::{Code, Failure};

/// Returns a name for the plan's keeper.
pub(crate) fn name(files: &PlanFiles) -> String {
    match Record::read(files) {
        Some(record) => format!("the backend's keeper (process {})", record.keeper.pid),
        None => "the backend's keeper".into(),
    }
}

/// Returns the failure for a session that needs this keeper.
pub(crate) fn failure(files: &PlanFiles) -> Failure {
    Failure::new(Code::Unavailable, format!("{} does not answer", name(files)))
        .cause("it was woken and waited for, and other sessions may be using its backend")
        .help("lclaude local stop --yes  # ends the backend and the sessions that use it")
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

/// Kills the keeper and its backend, or what is left of them. Returns when the plan's lock is free, which the kernel
/// releases a moment later.
pub(crate) async fn kill(files: &PlanFiles) {
    let Some(record) = Record::read(files) else { return };
    if record.keeper.is_alive() {
        record.keeper.signal(Signal::KILL);
    } else if let Some(guard) = record.guard {
        guard.signal(Signal::KILL);
    }
    if let Some(backend) = record.backend {
        backend.kill().await;
    }
    if let Ok(lock) = LockFile::open_existing(&files.lock()) {
        let _ = timeout(REPLY_TIMEOUT, tokio::task::spawn_blocking(move || lock.lock())).await;
    }
}

/// Kills the keeper and its backend if no session uses them. Returns whether it did.
pub(crate) async fn kill_if_unused(files: &PlanFiles) -> bool {
    let Some(_unused) = files.lock_unused() else { return false };
    kill(files).await;
    true
}
