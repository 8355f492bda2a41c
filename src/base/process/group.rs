//! Ending a whole process group: the backend and whatever it started.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde::{Deserialize, Serialize};

use super::{
    identity::Identity,
    system::{group_members, resident},
    unix::own_session,
};

/// How a backend's group is asked to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// KILL at once: nothing to save. (A llama-server in mid-prefill was seen to take 29 s over a TERM.)
    Kill,
    /// TERM, half a second, KILL.
    Terminate,
}

const GRACE: Duration = Duration::from_millis(500);
/// How long a killed group may take to vanish: a process stuck in a system call dies only when that returns.
const VANISH: Duration = Duration::from_secs(5);

/// A process group, named by the process that leads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub leader: Identity,
    /// The session (in the terminal's sense) that it is in: the keeper's.
    session: i32,
}

impl Group {
    /// The group that a child of ours leads.
    pub fn led_by(leader: Identity) -> Self {
        Group { leader, session: own_session() }
    }

    /// Whether any of its processes runs.
    pub fn is_there(self) -> bool {
        self.leader.is_alive() || !self.members().is_empty()
    }

    /// Its processes, as far as they run.
    fn members(self) -> Vec<i32> {
        group_members(self.leader.pid, self.session)
    }

    /// The bytes that all its processes have in memory. What they share counts for each.
    pub fn resident(self) -> u64 {
        self.members().into_iter().map(resident).sum()
    }

    /// Ends every process of the group and returns when none is left.
    ///
    /// A group is known by its leader; where that has gone already, by the session its other processes are in. So a
    /// number that has come to belong to strangers is left alone.
    pub async fn end(self, how: Ending) {
        let Some(group) = Pid::from_raw(self.leader.pid) else {
            return;
        };
        if !self.is_there() {
            return;
        }
        if how == Ending::Terminate {
            let _ = kill_process_group(group, Signal::TERM);
            if self.gone_within(group, GRACE).await {
                return;
            }
        }
        let _ = kill_process_group(group, Signal::KILL);
        self.gone_within(group, VANISH).await;
    }

    /// No system tells when a group is empty, so this asks every few milliseconds, and only while one is ending.
    async fn gone_within(self, group: Pid, limit: Duration) -> bool {
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
