//! Ending LM Studio where it did not run before: the daemon by its own command, and the app, which that refuses to end, by
//! a signal.

use std::{path::Path, time::Duration};

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::lms;
use crate::{
    backend::{http, undo::Started},
    base::process::Identity,
};

/// How long a command that starts LM Studio may still take.
const START: Duration = Duration::from_secs(30);

/// Returns when it is gone: what it remembers is put back only then.
pub async fn end(lms: &Path, started: Started) {
    let started = match started {
        // Since then anybody may have started it.
        Started::By { command, keeper } if !command.is_alive() && !keeper.is_alive() => return,
        Started::By { command, .. } => {
            gone(command, START).await;
            let Some(started) = lms::started(lms).await else {
                return;
            };
            started
        }
        started => started,
    };
    match started {
        Started::Daemon(process) if process.is_alive() => {
            lms::tell(lms, &["daemon", "down"]).await;
            gone(process, http::PROMPT).await;
        }
        Started::App(process) => {
            process.signal(Signal::TERM);
            gone(process, http::PROMPT).await;
        }
        _ => {}
    }
}

/// No system tells of the end of a process that is no child of ours, so this asks every few milliseconds.
async fn gone(process: Identity, limit: Duration) {
    let deadline = Instant::now() + limit;
    while process.is_alive() && Instant::now() < deadline {
        sleep(Duration::from_millis(5)).await;
    }
}
