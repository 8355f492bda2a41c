//! Processes and their descendants.

/// A running process, as the system lists it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    pub pid: i32,
    /// As in [`Identity`](super::Identity).
    pub start: u64,
    /// The PID of its parent; 0 if that is unknown in this PID namespace.
    pub parent: i32,
    /// The ID of its process group.
    pub group: i32,
    /// The ID of its POSIX session.
    pub session: i32,
    pub is_stopped: bool,
}

/// Returns `root` and all its descendants among `processes`, each after its parent.
pub(crate) fn tree(root: i32, processes: &[Process]) -> Vec<Process> {
    let mut found: Vec<Process> = processes.iter().filter(|process| process.pid == root).copied().collect();
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|parent| parent.pid) {
        found.extend(processes.iter().filter(|process| process.parent == parent && process.pid != parent));
        next += 1;
    }
    found
}
