//! Processes as lclaude needs them: one that can be recognised later, a whole group that can be ended, a child that
//! does not outlive its parent, and the terminal they share.
//!
//! Everything the operating systems do differently is behind this module's names; nothing here knows of Claude Code
//! or of backends.

use super::system;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

/// A process that is still recognised after its number was given to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: i32,
    /// When it started, in a unit of the system's own; only ever compared.
    pub start: u64,
}

impl Identity {
    /// `None` when no such process runs (a zombie does not).
    pub fn of(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok()?;
        let start = system::start_time(pid)?;
        Some(Identity { pid, start })
    }

    pub fn of_self() -> Option<Self> {
        Identity::of(std::process::id())
    }

    pub fn is_alive(self) -> bool {
        system::start_time(self.pid) == Some(self.start)
    }

    /// Sends `signal` if it is still this very process; a process that has gone needs none.
    pub fn signal(self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.is_alive()) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}
