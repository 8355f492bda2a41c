//! Identifies a process by PID and start time, because PIDs are reused.

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use super::system;

/// A process, told apart from a later one with the same PID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub pid: i32,
    /// Start time in a unit that depends on the system; only compared.
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

    pub(crate) fn is_alive(self) -> bool {
        system::start_time(self.pid) == Some(self.start)
    }

    /// Sends `signal` if this process is still running. Errors are ignored.
    pub(crate) fn signal(self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.is_alive()) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}
