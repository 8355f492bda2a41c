//! Identifies a process by PID and start time, because PIDs are reused.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{sleep, timeout},
};

use super::{system, tree::Process};

/// Time between two looks at a process that can't be watched, because there are no descriptors left or the system is
/// too old.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// A process, told apart from a later one with the same PID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub pid: i32,
    /// Start time, or a number made of it, in a unit that depends on the system; only compared.
    pub start: u64,
}

impl Identity {
    /// Returns the identity of a running process, or `None` if it doesn't run or is a zombie.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok()?;
        let start = system::start_time(pid)?;
        Some(Identity { pid, start })
    }

    pub(crate) fn of_self() -> Option<Self> {
        Identity::of(std::process::id())
    }

    /// Returns the two numbers that tell it apart.
    pub(super) fn key(self) -> (i32, u64) {
        (self.pid, self.start)
    }

    pub(crate) fn is_alive(self) -> bool {
        system::start_time(self.pid) == Some(self.start)
    }

    /// Sends `signal` if this process is still running. Errors are ignored.
    pub(crate) fn signal(self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.is_alive()) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Returns this process as one that can be waited for, or `None` if it has ended.
    pub(crate) fn watch(self) -> Option<Watched> {
        let pid = Pid::from_raw(self.pid)?;
        let descriptor = system::watch(pid).ok();
        // If it still runs now, the descriptor is that of no other process.
        self.is_alive().then_some(Watched { process: self, descriptor })
    }

    /// Returns once this process has ended, and its files, sockets and locks are released.
    pub(crate) async fn ended(self) {
        if let Some(watched) = self.watch() {
            watched.ended().await;
        }
    }

    /// Waits until this process has ended, at most `limit`. Returns whether it has.
    pub(crate) async fn ends_within(self, limit: Duration) -> bool {
        timeout(limit, self.ended()).await.is_ok()
    }
}

impl Process {
    pub(crate) fn identity(&self) -> Identity {
        Identity { pid: self.pid, start: self.start }
    }
}

/// A process that was running when it was watched. Its PID may be reused, but this still means the first one.
pub(crate) struct Watched {
    process: Identity,
    descriptor: Option<OwnedFd>,
}

impl Watched {
    /// Sends `signal`. Errors are ignored.
    pub(crate) fn signal(&self, signal: Signal) {
        match &self.descriptor {
            Some(descriptor) => system::send_signal(descriptor.as_fd(), self.process.key(), signal),
            None => self.process.signal(signal),
        }
    }

    /// Returns once the process has ended.
    pub(crate) async fn ended(self) {
        let watch = self.descriptor.and_then(|watch| {
            // SAFETY: nobody else has the descriptor, so it stays open until the result is dropped.
            unsafe { AsyncFd::register_with_interest(watch, Interest::READABLE) }.ok()
        });
        match watch {
            Some(watch) => drop(watch.readable().await),
            None => {
                while self.process.is_alive() {
                    sleep(LOOK_INTERVAL).await;
                }
            }
        }
    }
}
