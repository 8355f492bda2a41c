//! Process functions for Linux; `macos.rs` has the same ones for macOS.

use std::{
    fs, io,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{Mode, OFlags},
    io::retry_on_intr,
    process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, waitpid},
};

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
    /// Whether it has ended and waits to be reaped. The state is that of the first thread, which may end before the others.
    is_zombie: bool,
}

/// Returns the fields of a process, or `None` if it doesn't run. Zombies are left out, because in a container an orphan
/// may never be reaped.
fn stat(pid: i32) -> Option<Stat> {
    stat_or_zombie(pid).filter(|stat| !stat.is_zombie)
}

fn stat_or_zombie(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Parses `/proc/PID/stat`. Allocates nothing.
fn parse_stat(stat: &str) -> Option<Stat> {
    // The name may contain parentheses itself, so count fields from the last one: the first is the state.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let mut number = || fields.next()?.parse().ok();
    let (parent, group, session) = (number()?, number()?, number()?);
    let threads: u32 = fields.nth(13)?.parse().ok()?;
    let is_zombie = state == b'X' || (state == b'Z' && threads <= 1);
    Some(Stat { state, parent, group, session, start: fields.nth(1)?.parse().ok()?, is_zombie })
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

/// Returns the start time of this process. Allocates nothing, so it may be called between fork and exec.
pub(crate) fn own_start_time() -> Option<u64> {
    let mut stat = [0; 1024];
    let file = rustix::fs::open(c"/proc/self/stat", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let length = rustix::io::read(file, &mut stat).ok()?;
    parse_stat(std::str::from_utf8(stat.get(..length)?).ok()?).map(|stat| stat.start)
}

/// Returns a process, or `None` if it doesn't run or is a zombie.
pub(crate) fn process(pid: i32) -> Option<Process> {
    let stat = stat(pid)?;
    let is_stopped = matches!(stat.state, b'T' | b't');
    let Stat { start, parent, group, session, .. } = stat;
    Some(Process { pid, start, parent, group, session, is_stopped })
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

/// Returns a descriptor that is readable once the process has ended, with all its threads (`pidfd_open(2)`, Linux 5.3).
pub(crate) fn watch(pid: Pid) -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// Sends `signal` to the process that `watch` watches, which may have ended.
pub(crate) fn send_signal(watch: BorrowedFd<'_>, _process: (i32, u64), signal: Signal) {
    let _ = rustix::process::pidfd_send_signal(watch, signal);
}

/// Waits for the end of a child, and returns its status. `None` if there is no such child, or if a debugger keeps the
/// status of a killed one to itself.
pub(crate) fn wait_for_child(child: Pid) -> Option<WaitStatus> {
    let has_ended = watch(child)
        .is_ok_and(|watched| retry_on_intr(|| poll(&mut [PollFd::new(&watched, PollFlags::IN)], None)).is_ok());
    let options = if has_ended { WaitOptions::NOHANG } else { WaitOptions::empty() };
    let status = retry_on_intr(|| waitpid(Some(child), options));
    status.ok().flatten().map(|(_, status)| status)
}

/// Makes this process the parent of all descendants that lose theirs, like init (child subreaper, prctl(2)).
pub(crate) fn adopt_orphans() {
    // It only fails before Linux 3.4.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Returns the PIDs of a process's children, zombies included.
fn children(pid: i32) -> Vec<i32> {
    let mut found = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(text) => found.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok())),
            // The kernel lacks the list (`CONFIG_PROC_CHILDREN`).
            Err(_) if thread.path().exists() => {
                return pids().filter(|child| stat_or_zombie(*child).is_some_and(|it| it.parent == pid)).collect();
            }
            Err(_) => {}
        }
    }
    found
}

/// Returns the PIDs of a process's descendants.
pub(crate) fn descendants(root: i32) -> Vec<i32> {
    let mut found = children(root);
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let more = children(*pid);
        found.extend(more);
        next += 1;
    }
    found
}

/// Returns this process's children outside its process group, zombies included, except `leader`. With
/// [`adopt_orphans`], everything that `leader` started and left behind is among them. The children in our group are
/// commands that somebody here waits for.
fn strangers(leader: i32) -> impl Iterator<Item = (i32, Stat)> {
    let own = rustix::process::getpgrp().as_raw_nonzero().get();
    let others = children(std::process::id().cast_signed()).into_iter().filter(move |pid| *pid != leader);
    let stats = others.filter_map(|pid| Some((pid, stat_or_zombie(pid)?)));
    stats.filter(move |(_, stat)| stat.group != own)
}

/// Returns what `leader`, a child of this process, has started, as far as it can be told apart: what it left to us.
pub(crate) fn strays((leader, _): (i32, u64)) -> Vec<Process> {
    reap(leader);
    strangers(leader).filter_map(|(pid, _)| process(pid)).collect()
}

/// Reaps adopted processes that have ended. `leader` is left to whoever waits for it.
pub(crate) fn reap(leader: i32) {
    for (pid, _) in strangers(leader).filter(|(_, stat)| stat.is_zombie) {
        let _ = waitpid(Pid::from_raw(pid), WaitOptions::NOHANG);
    }
}

/// Returns the memory of a process in bytes, or 0 if there is no such process: the resident memory, mapped files included.
pub(crate) fn memory_of(pid: i32) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    // The second field (proc(5)).
    let pages: u64 = pages.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// Returns whether the file system of `path` is mounted so that no program on it can run.
pub(crate) fn forbids_programs(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|mount| mount.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC))
}

/// Returns the user's directory for sockets, which logind creates at the first login (`pam_systemd`).
pub(crate) fn user_runtime_dir(uid: u32) -> Option<PathBuf> {
    Some(format!("/run/user/{uid}").into())
}

/// Returns whether a process sent the signal, rather than the terminal. Async-signal-safe.
pub(crate) fn is_sent_by_process(info: &libc::siginfo_t) -> bool {
    // The terminal sends Ctrl-C as the kernel (`__isig` in drivers/tty/n_tty.c).
    info.si_code != libc::SI_KERNEL
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
