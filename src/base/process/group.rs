//! Ends a whole process group: the backend and everything it started.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde::{Deserialize, Serialize};

use super::{
    identity::Identity,
    system::{group_members, listener_owners, owner, processes, resident},
    tree::tree,
    unix::own_session,
};

/// Who listens on a port of 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    Nobody,
    Ours,
    Foreign,
}

/// Returns whether anybody listens on `port` of 127.0.0.1.
pub(crate) fn is_listened_on(port: u16) -> bool {
    !listener_owners(port).is_empty()
}

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

    /// Returns who listens on `port` of 127.0.0.1, where this group's server should.
    ///
    /// A socket is ours if it belongs to:
    ///
    /// - our user. The server needn't be in the group: a container engine or `setsid` may have started it, and other
    ///   programs of the same user are no threat, since they can read its memory.
    /// - the user of a process in the group or of a descendant of its leader, as with `sudo -u vllm vllm serve`.
    /// - root, since Docker's daemon listens for a container. Root can read everything anyway.
    ///
    /// If several sockets listen there, on 127.0.0.1 and on all addresses, every one of them must be ours.
    pub(crate) fn listener(self, port: u16) -> Listener {
        let mut owners = listener_owners(port);
        if owners.is_empty() {
            return Listener::Nobody;
        }
        let own = rustix::process::geteuid().as_raw();
        owners.retain(|user| *user != own && *user != 0);
        if !owners.is_empty() {
            let descendants = tree(self.leader.pid, &processes());
            let members = self.members().into_iter().chain(descendants.iter().map(|process| process.pid));
            let users: Vec<u32> = members.filter_map(owner).collect();
            owners.retain(|user| !users.contains(user));
        }
        if owners.is_empty() { Listener::Ours } else { Listener::Foreign }
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::base::port::reserve_exclusive;

    fn own_group() -> Group {
        Group::led_by(Identity::of_self().expect("this process runs"))
    }

    #[test]
    fn own_listener_is_found_on_every_address_that_takes_its_connections() {
        for address in ["127.0.0.1", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]"] {
            let Ok(listener) = TcpListener::bind(format!("{address}:0")) else {
                assert!(address.starts_with('['), "only IPv6 may be missing");
                continue;
            };
            let port = listener.local_addr().expect("an address").port();
            assert_eq!(own_group().listener(port), Listener::Ours, "{address}");
            assert!(is_listened_on(port), "{address}");
            drop(listener);
            assert_eq!(own_group().listener(port), Listener::Nobody, "{address}");
        }
    }

    #[test]
    fn listener_on_another_address_is_nobody() {
        for address in ["127.0.0.2", "[::1]"] {
            // So that no other test listens on this port of 127.0.0.1.
            let held = reserve_exclusive(None).expect("a free port");
            let port = held.port;
            let Ok(_listener) = TcpListener::bind(format!("{address}:{port}")) else { continue };
            assert_eq!(own_group().listener(port), Listener::Nobody, "{address}");
        }
    }
}
