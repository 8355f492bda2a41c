//! Process functions for Linux; `macos.rs` has the same ones for macOS.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;

pub(crate) use super::sockets::listener_owners;
use super::tree::Process;

/// The fields of `/proc/PID/stat` that are used here (proc(5)).
struct Stat {
    state: u8,
    parent: i32,
    group: i32,
    session: i32,
    /// In clock ticks since boot.
    start: u64,
}

/// Returns the fields of a process, or `None` if it doesn't run. Zombies are left out, because in a container an orphan
/// may never be reaped.
fn stat(pid: i32) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may contain parentheses itself, so count fields from the last one: the first is the state.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    if matches!(state, b'Z' | b'X') {
        return None;
    }
    let mut number = || fields.next()?.parse().ok();
    let (parent, group, session) = (number()?, number()?, number()?);
    Some(Stat { state, parent, group, session, start: fields.nth(15)?.parse().ok()? })
}

/// Returns the numbers in `/proc`.
fn pids() -> impl Iterator<Item = i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Returns the start time in clock ticks since boot, or `None` if no such process runs or it is a zombie.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    stat(pid).map(|stat| stat.start)
}

/// Returns a process, or `None` if it doesn't run or is a zombie.
pub(crate) fn process(pid: i32) -> Option<Process> {
    let stat = stat(pid)?;
    let is_stopped = matches!(stat.state, b'T' | b't');
    Some(Process { pid, start: stat.start, parent: stat.parent, is_stopped })
}

/// Returns all processes that this user can see.
pub(crate) fn processes() -> Vec<Process> {
    pids().filter_map(process).collect()
}

/// Returns the user of a process, or `None` if it doesn't run.
pub(crate) fn owner(pid: i32) -> Option<u32> {
    fs::metadata(format!("/proc/{pid}")).ok().map(|process| process.uid())
}

/// Returns a path to this program that works even if its file was replaced.
pub(crate) fn own_program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    Ok(if path.exists() { path } else { "/proc/self/exe".into() })
}

/// Returns the PIDs of the processes in group `group` and session `session`.
pub(crate) fn group_members(group: i32, session: i32) -> Vec<i32> {
    let is_member = |pid: &i32| stat(*pid).is_some_and(|stat| (stat.group, stat.session) == (group, session));
    pids().filter(is_member).collect()
}

/// Returns the resident memory of a process in bytes, mapped files included, or 0 if there is no such process.
pub(crate) fn resident(pid: i32) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    // The second field (proc(5)).
    let pages: u64 = pages.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// Returns whether the file system of `path` is mounted so that no program on it can run.
pub(crate) fn forbids_programs(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|mount| mount.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC))
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
