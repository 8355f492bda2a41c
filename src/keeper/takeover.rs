//! How a keeper gets its plan's lock: at once, or after the keeper before it has gone.
//!
//! Whoever needs a keeper starts one, and the lock decides which of them stays. No session takes part in this, so one
//! that is suspended stops nobody.

use std::{io, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    files::PlanFiles, lock::LockFile, protocol::FromKeeper, record::Record, silent, state::KeeperState,
    timeouts::REPLY_TIMEOUT,
};
use crate::base::{error::Failure, socket, wait::WORD_AFTER};

/// The shortest and the longest pause between two looks at whether the other keeper accepts sessions.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// What came of waiting for the plan's lock.
pub(crate) enum Takeover {
    /// This keeper has it until it exits, so that no second backend of this plan is in memory.
    Lock(LockFile),
    /// Another keeper accepts sessions.
    Elsewhere,
    Failed(Failure),
}

/// Waits for the plan's lock, and says so through `state`.
///
/// # Errors
/// Those of the file system.
pub(crate) async fn take_over(files: &PlanFiles, state: &KeeperState) -> io::Result<Takeover> {
    loop {
        let lock = LockFile::open(&files.lock())?;
        let lock = if lock.try_lock()? {
            lock
        } else {
            let waiting = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock));
            tokio::select! {
                lock = waiting => lock??,
                other = watch_other(files, state) => return Ok(other),
            }
        };
        // Otherwise it was deleted, and another keeper may hold the file that was made again.
        if lock.is_at(&files.lock()) {
            return Ok(Takeover::Lock(lock));
        }
    }
}

/// Watches the keeper that has the lock. Returns if it accepts sessions, or if it neither does that nor ends.
async fn watch_other(files: &PlanFiles, state: &KeeperState) -> Takeover {
    let mut pause = PAUSES.0;
    let mut step = Step::Wake;
    // Before the session wonders about this keeper.
    let mut due = Instant::now() + WORD_AFTER / 2;
    loop {
        if accepts(files).await {
            return Takeover::Elsewhere;
        }
        if Instant::now() >= due {
            let next = match step {
                Step::Wake => {
                    state.set(FromKeeper::Waiting { reason: reason(files) });
                    silent::wake(files);
                    (Step::Kill, Instant::now() + silent::patience(files))
                }
                Step::Kill if silent::kill_if_unused(files).await => (Step::Fail, Instant::now() + REPLY_TIMEOUT),
                Step::Kill | Step::Fail => return Takeover::Failed(silent::failure(files)),
            };
            (step, due) = next;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// What to do next about a keeper that neither accepts sessions nor ends.
enum Step {
    /// And tell the user.
    Wake,
    Kill,
    Fail,
}

/// Returns whether the other keeper's socket takes connections. It is polled, since the lock says only when it ends.
async fn accepts(files: &PlanFiles) -> bool {
    match socket::connect(&files.socket()).await {
        Ok(_) => true,
        // Many connections wait to be accepted.
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// Returns what this keeper waits for.
fn reason(files: &PlanFiles) -> String {
    let keeper = silent::name(files);
    match Record::read(files) {
        Some(record) if record.ending => format!("waiting for {keeper} to end"),
        _ => format!("waiting for {keeper}"),
    }
}
