//! A whole process group: the backend and what it started.

use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{
    identity::{Identity, Watched},
    system::{listener_owners, owner, processes},
    tree::{Process, tree},
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
    /// TERM, then KILL after five seconds.
    Terminate,
}

impl Ending {
    /// Returns how long processes have to end before they are killed.
    pub(crate) fn grace(self) -> Duration {
        match self {
            Ending::Kill => Duration::ZERO,
            // vLLM, killed after half a second, leaves its shared memory and semaphores behind.
            Ending::Terminate => Duration::from_secs(5),
        }
    }
}

/// How long killed processes may take to end: one that is stuck in a system call dies only when the call returns.
pub(super) const KILL_TIMEOUT: Duration = Duration::from_secs(5);

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
        self.leader.is_alive() || processes().iter().any(|process| self.contains(process))
    }

    fn contains(self, process: &Process) -> bool {
        (process.group, process.session) == (self.leader.pid, self.session)
    }

    /// Returns the running processes of the group, and those that its leader started in other groups.
    pub(super) fn processes(self, all: &[Process]) -> Vec<Process> {
        let mut found = tree(self.leader.pid, all);
        if found.first().is_some_and(|leader| leader.identity() != self.leader) {
            // Another process has the leader's PID now.
            found.clear();
        }
        let is_new = |member: &&Process| found.iter().all(|other| other.pid != member.pid);
        let members: Vec<Process> = all.iter().filter(|it| self.contains(it)).filter(is_new).copied().collect();
        found.extend(members);
        found
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
            let users: Vec<u32> =
                self.processes(&processes()).iter().filter_map(|process| owner(process.pid)).collect();
            owners.retain(|user| !users.contains(user));
        }
        if owners.is_empty() { Listener::Ours } else { Listener::Foreign }
    }

    /// Kills every process of the group and returns when none is left, or after a time limit.
    ///
    /// The group is recognized by its leader or, once the leader has ended, by the session of its members, so a reused
    /// group ID is left alone.
    pub(crate) async fn kill(self) {
        let killed = async {
            loop {
                let running = self.processes(&processes());
                let running: Vec<Watched> = running.iter().map(Process::identity).filter_map(Identity::watch).collect();
                if running.is_empty() {
                    return;
                }
                running.iter().for_each(|process| process.signal(Signal::KILL));
                for process in running {
                    process.ended().await;
                }
            }
        };
        let _ = timeout(KILL_TIMEOUT, killed).await;
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
