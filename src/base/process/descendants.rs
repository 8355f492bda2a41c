//! Ends everything that a child of this process has started, also what has left its process group.
//!
//! On Linux this process adopts what its descendants leave behind ([`adopt_orphans`](super::adopt_orphans)), so all of it
//! is among its children sooner or later. Children in our own process group are commands that somebody here waits for;
//! they are left alone.

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::Child,
    signal::unix::{SignalKind, signal},
    time::{Instant, timeout, timeout_at},
};

use super::{
    group::{Ending, Group, KILL_TIMEOUT},
    identity::{Identity, Watched},
    system::{descendants, memory_of, processes, reap, strays},
    tree::Process,
};

/// Ends `child`, the leader of `group`, and everything it started. Returns when nothing of it is left, or after a time
/// limit.
pub(crate) async fn end_all(child: &mut Child, group: Group, how: Ending) {
    let deadline = Instant::now() + how.grace();
    // On macOS it is known only as long as their parents run who started them.
    let mut strays = Strays::of(group);
    if how == Ending::Terminate {
        signal_group(group, Signal::TERM);
        let ended = async {
            let _ = child.wait().await;
            // Those in the group got the signal already.
            strays.end(|process| if process.group == group.leader.pid { None } else { Some(Signal::TERM) }).await;
        };
        if timeout_at(deadline, ended).await.is_ok() {
            return;
        }
    }
    signal_group(group, Signal::KILL);
    strays.signal(Signal::KILL);
    let ended = async {
        let _ = child.wait().await;
        strays.end(|_| Some(Signal::KILL)).await;
    };
    let _ = timeout(KILL_TIMEOUT, ended).await;
}

/// Kills all children of this process and what they started. Returns when nothing of it is left, or after a time limit.
pub(crate) async fn kill_adopted() {
    let nobody = Identity { pid: 0, start: 0 };
    let mut strays = Strays { leader: nobody, known: Vec::new() };
    let _ = timeout(KILL_TIMEOUT, strays.end(|_| Some(Signal::KILL))).await;
}

/// Reaps adopted processes when they end, while `leader` runs. Never returns.
pub(crate) async fn reap_adopted(leader: Identity) {
    if let Ok(mut ended) = signal(SignalKind::child()) {
        while ended.recv().await.is_some() {
            reap(leader.pid);
        }
    }
}

fn signal_group(group: Group, signal: Signal) {
    // The leader is our child. Until it is reaped, nobody else gets its ID, and afterwards only while the group has members.
    if let Some(id) = Pid::from_raw(group.leader.pid).filter(|_| group.leader.is_alive()) {
        let _ = kill_process_group(id, signal);
    }
}

/// What a child of this process has started.
struct Strays {
    leader: Identity,
    known: Vec<Process>,
}

impl Strays {
    fn of(group: Group) -> Self {
        Strays { leader: group.leader, known: strays(group.leader.key()) }
    }

    fn signal(&self, signal: Signal) {
        self.known.iter().for_each(|process| process.identity().signal(signal));
    }

    /// Sends each process the signal that `choose` returns for it, and returns when all have ended. May be dropped and
    /// called again.
    async fn end(&mut self, choose: impl Fn(&Process) -> Option<Signal>) {
        loop {
            for process in strays(self.leader.key()) {
                if self.known.iter().all(|known| known.identity() != process.identity()) {
                    self.known.push(process);
                }
            }
            self.known.retain(|process| process.identity().is_alive());
            let watched: Vec<(Watched, Option<Signal>)> =
                self.known.iter().filter_map(|process| Some((process.identity().watch()?, choose(process)))).collect();
            if watched.is_empty() {
                return;
            }
            for (process, signal) in &watched {
                if let Some(signal) = signal {
                    process.signal(*signal);
                }
            }
            for (process, _) in watched {
                process.ended().await;
            }
        }
    }
}

/// Returns the memory in bytes of each backend, given its keeper's PID (0 if that has ended) and its process
/// group. All that a keeper or the group's leader has started counts. Shared memory is counted once per process.
pub(crate) fn memory(backends: &[(i32, Group)]) -> Vec<u64> {
    let mut all = None;
    let of = |(keeper, group): &(i32, Group)| -> u64 {
        let mut pids = if *keeper > 0 { descendants(*keeper) } else { Vec::new() };
        if !pids.contains(&group.leader.pid) {
            // One look at all processes is enough for all backends.
            let processes = group.processes(all.get_or_insert_with(processes));
            pids.extend(processes.iter().map(|process| process.pid));
        }
        pids.into_iter().map(memory_of).sum()
    };
    backends.iter().map(of).collect()
}
