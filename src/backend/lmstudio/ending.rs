//! Stops an LM Studio that lclaude started: the daemon with `lms daemon down`, which refuses to stop the app, and the
//! app with SIGTERM.

use std::{path::Path, time::Duration};

use rustix::process::Signal;

use super::lms;
use crate::backend::{http, undo::Started};

/// How long to wait for an `lms` command that is still starting LM Studio.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Stops LM Studio and returns when it is gone, since its files can be restored only then.
pub(crate) async fn end(lms: &Path, started: Started) {
    let started = match started {
        // Both are gone, so the user may have started LM Studio since.
        Started::By { command, keeper } if !command.is_alive() && !keeper.is_alive() => return,
        Started::By { command, .. } => {
            command.ends_within(START_TIMEOUT).await;
            let Some(started) = lms::started(lms).await else {
                return;
            };
            started
        }
        started => started,
    };
    match started {
        Started::Daemon(process) if process.is_alive() => {
            lms::run_quietly(lms, &["daemon", "down"]).await;
            process.ends_within(http::ANSWER_TIMEOUT).await;
        }
        Started::App(process) => {
            process.signal(Signal::TERM);
            process.ends_within(http::ANSWER_TIMEOUT).await;
        }
        _ => {}
    }
}
