//! Ends a whole process group: the backend and everything it started.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde::{Deserialize, Serialize};

use super::{
    identity::Identity,
    system::{group_members, resident},
    unix::own_session,
};

/// How a backend's process group is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    /// KILL at once, for a backend with nothing to save. (llama-server was seen to take 29 s to handle TERM during
    /// prefill.)
    Kill,
    /// TERM, then KILL after half a second.
    Terminate,
}

const GRACE: Duration = Duration::from_millis(500);
/// How long a killed group may take to end: a process stuck in a system call dies only when the call returns.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// A process group, identified by its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub leader: Identity,
    /// The POSIX session of the group, which is the keeper's.
    session: i32,
}

impl Group {
    /// Returns the group led by one of our children.
    pub(crate) fn led_by(leader: Identity) -> Self {
        Group { leader, session: own_session() }
    }

    /// Returns whether any process of the group is running.
    pub(crate) fn is_there(self) -> bool {
        self.leader.is_alive() || !self.members().is_empty()
    }

    /// Returns the PIDs of the running processes.
    fn members(self) -> Vec<i32> {
        group_members(self.leader.pid, self.session)
    }

    /// Returns the resident memory of all processes in bytes. Shared memory is counted once per process.
    pub(crate) fn resident(self) -> u64 {
        self.members().into_iter().map(resident).sum()
    }

    /// Ends every process of the group and returns when none is left.
    ///
    /// The group is recognized by its leader or, once the leader has ended, by the session of its members, so a reused
    /// group ID is left alone.
    pub(crate) async fn end(self, how: Ending) {
        let Some(group) = Pid::from_raw(self.leader.pid) else {
            return;
        };
        if !self.is_there() {
            return;
        }
        if how == Ending::Terminate {
            let _ = kill_process_group(group, Signal::TERM);
            if self.ends_within(group, GRACE).await {
                return;
            }
        }
        let _ = kill_process_group(group, Signal::KILL);
        self.ends_within(group, KILL_TIMEOUT).await;
    }

    /// Waits for the group to end and returns whether it did. It polls, because no system reports that a group is
    /// empty.
    async fn ends_within(self, group: Pid, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while test_kill_process_group(group).is_ok() && !self.members().is_empty() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        true
    }
}
