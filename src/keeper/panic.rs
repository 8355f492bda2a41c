//! The end of a keeper by a panic. Its sessions are told, since they would otherwise find a lost keeper and start one
//! after the other, with the same panic in each.
//!
//! The release build aborts at a panic, so the hook is the last code that runs. It sends only what a socket takes at once.

use std::{
    fs::OpenOptions,
    io::Write,
    os::fd::{AsFd, OwnedFd},
    panic::PanicHookInfo,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
};

use super::protocol::{FromKeeper, encode};
use crate::base::{
    error::{Code, Failure},
    ui,
};

/// The sockets of the open connections.
static SOCKETS: Mutex<Vec<Weak<OwnedFd>>> = Mutex::new(Vec::new());
/// The backend's log.
static LOG: OnceLock<PathBuf> = OnceLock::new();

/// Makes a panic of any thread end this process, after it is reported to every registered socket and in the logs.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|panic| {
        let failure = failure(panic);
        let line = encode(&FromKeeper::Failed { failure: failure.clone() });
        // The panic may have come from `register`.
        if let Ok(sockets) = SOCKETS.try_lock() {
            for socket in sockets.iter().filter_map(Weak::upgrade) {
                // They don't block. Whoever has left or is suspended isn't waited for.
                let _ = rustix::io::write(&socket, &line);
            }
        }
        if let Some(mut log) = LOG.get().and_then(|log| OpenOptions::new().append(true).open(log).ok()) {
            let _ = writeln!(log, "{failure}");
        }
        // Last, since the panic may have come from there.
        tracing::error!(pid = std::process::id(), %panic, "keeper panicked");
        std::process::exit(failure.exit_code().into());
    }));
}

/// Sets the backend's log, which also gets the text of a panic.
pub(crate) fn set_log(log: &Path) {
    let _ = LOG.set(log.to_owned());
}

/// Registers a connection for as long as the returned copy of its socket exists, or returns `None` if there are no
/// descriptors left for a copy.
pub(crate) fn register(socket: impl AsFd) -> Option<Arc<OwnedFd>> {
    let copy = Arc::new(socket.as_fd().try_clone_to_owned().ok()?);
    let mut sockets = SOCKETS.lock().unwrap_or_else(PoisonError::into_inner);
    sockets.retain(|socket| socket.strong_count() > 0);
    sockets.push(Arc::downgrade(&copy));
    Some(copy)
}

/// Returns the failure for the sessions.
fn failure(panic: &PanicHookInfo<'_>) -> Failure {
    let mut failure = Failure::panicked(panic);
    if failure.code == Code::Bug {
        failure.what = "internal error in the backend's keeper".into();
        if let Some(log) = LOG.get().filter(|log| log.exists()) {
            failure.help.push(format!("tail {}", ui::quote_path(log)));
        }
    }
    failure
}
