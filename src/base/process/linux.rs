//! Process functions for Linux; `macos.rs` has the same ones for macOS.

use std::{fs, io, path::PathBuf, process::Command};

use rustix::process::Signal;

/// Returns the start time in clock ticks since boot (field 22 of `/proc/PID/stat`, proc(5)), or `None` if no such
/// process runs or it is a zombie.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may contain parentheses itself, so count fields from the last one: the first is the state.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Returns a path to this program that works even if its file was replaced.
pub(crate) fn own_program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    Ok(if path.exists() { path } else { "/proc/self/exe".into() })
}

/// Returns the PIDs of the processes in group `group` and session `session`. Zombies are left out, because in a
/// container an orphan may never be reaped.
pub(crate) fn group_members(group: i32, session: i32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_member = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rfind(')').map(|at| &stat[at + 1..]).unwrap_or_default();
        let mut fields = fields.split_ascii_whitespace();
        if matches!(fields.next(), Some("Z" | "X")) {
            return false;
        }
        let numbers: Vec<i32> = fields.take(3).flat_map(str::parse).collect();
        // Parent, group, session.
        matches!(numbers[..], [_, g, s] if g == group && s == session)
    };
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_member).collect()
}

/// Returns the resident memory of a process in bytes, mapped files included, or 0 if there is no such process.
pub(crate) fn resident(pid: i32) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    // The second field (proc(5)).
    let pages: u64 = pages.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// Returns `None`: apart from `XDG_RUNTIME_DIR`, Linux has no temporary directory per user.
pub(crate) fn user_temp_dir() -> Option<PathBuf> {
    None
}

/// Makes the kernel send `signal` to the child when the *thread* that spawned it ends, so spawn it from the main
/// thread.
pub(crate) fn die_with_parent(command: &mut Command, signal: Signal) {
    use std::os::unix::process::CommandExt;

    let parent = rustix::process::getpid();
    let set_signal = move || {
        rustix::process::set_parent_process_death_signal(Some(signal))?;
        // The parent may have died before the line above.
        if rustix::process::getppid() != Some(parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes two system calls and touches no lock and no heap.
    unsafe { command.pre_exec(set_signal) };
}
