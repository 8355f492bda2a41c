//! Process functions for macOS; `linux.rs` has the same ones for Linux.

use std::{
    ffi::OsString,
    io, mem,
    net::{Ipv4Addr, TcpStream},
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::{Path, PathBuf},
    process::Command,
    ptr,
    time::Duration,
};

use rustix::{
    event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent, kqueue},
    process::{Pid, Signal},
};

use super::tree::{Process, tree};

/// How long a connection to a port of this machine may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(100);

/// Returns what the kernel says about a process (`proc_pidinfo`, `PROC_PIDTBSDINFO`), or `None` if it doesn't run or is a
/// zombie.
fn info(pid: i32) -> Option<libc::proc_bsdinfo> {
    // SAFETY: proc_bsdinfo consists of integers, so all zeros is a valid value.
    let mut info: libc::proc_bsdinfo = unsafe { mem::zeroed() };
    let size = size_of::<libc::proc_bsdinfo>() as libc::c_int;
    // SAFETY: the buffer is `size` bytes and lives through the call.
    let written = unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDTBSDINFO, 0, (&raw mut info).cast(), size) };
    (written == size && info.pbi_status != libc::SZOMB).then_some(info)
}

fn started(info: &libc::proc_bsdinfo) -> u64 {
    info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec
}

/// Returns the start time in microseconds since the epoch, or `None` if no such process runs or it is a zombie.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    info(pid).as_ref().map(started)
}

/// Returns a process, or `None` if it doesn't run or is a zombie.
pub(crate) fn process(pid: i32) -> Option<Process> {
    let info = info(pid)?;
    let (parent, is_stopped) = (info.pbi_ppid.cast_signed(), info.pbi_status == libc::SSTOP);
    // SAFETY: getsid takes no pointers.
    let (group, session) = (info.pbi_pgid.cast_signed(), unsafe { libc::getsid(pid) });
    Some(Process { pid, start: started(&info), parent, group, session, is_stopped })
}

/// Returns all processes that this user can see.
pub(crate) fn processes() -> Vec<Process> {
    let mut pids = vec![0 as libc::pid_t; 16 * 1024];
    let size = size_of_val(&pids[..]) as libc::c_int;
    // SAFETY: the buffer is `size` bytes and lives through the call.
    let count = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast(), size) };
    pids.truncate(usize::try_from(count).unwrap_or(0));
    pids.into_iter().filter(|pid| *pid > 0).filter_map(process).collect()
}

/// Returns the user of a process, or `None` if it doesn't run.
pub(crate) fn owner(pid: i32) -> Option<u32> {
    info(pid).map(|info| info.pbi_uid)
}

/// Returns the users of the sockets that may receive a connection to `port` of 127.0.0.1: those that listen on this
/// address or on all addresses.
///
/// Only root sees the sockets of other users' processes. If somebody accepts connections and no process of this user
/// listens, the result is a number that is nobody's.
pub(crate) fn listener_owners(port: u16) -> Vec<u32> {
    // Cheaper than asking about every process, and most often refused.
    let address = (Ipv4Addr::LOCALHOST, port).into();
    if TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).is_err() {
        return Vec::new();
    }
    let receives = |listener: &listeners::Listener| {
        let address = listener.socket.ip().to_canonical();
        listener.state == listeners::SocketState::Listen
            && listener.socket.port() == port
            && (address == Ipv4Addr::LOCALHOST || address.is_unspecified())
    };
    let all = listeners::get_all().unwrap_or_default();
    let owners = all.iter().filter(|listener| receives(listener)).filter_map(|it| owner(it.process.pid.cast_signed()));
    let mut owners: Vec<u32> = owners.collect();
    if owners.is_empty() {
        owners.push(u32::MAX);
    }
    owners
}

/// Returns the path of this program.
pub(crate) fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// Returns a descriptor that is readable once the process has ended (kqueue(2), `NOTE_EXIT`).
pub(crate) fn watch(pid: Pid) -> io::Result<OwnedFd> {
    let queue = kqueue()?;
    let exit = EventFilter::Proc { pid, flags: ProcessEvents::EXIT };
    let exit = Event::new(exit, EventFlags::ADD, ptr::null_mut());
    // SAFETY: the event refers to no descriptor.
    unsafe { kevent(&queue, &[exit], &mut [] as &mut [Event], None)? };
    Ok(queue)
}

/// Sends `signal` to the process that `watch` watches, which may have ended.
pub(crate) fn send_signal(_watch: BorrowedFd<'_>, pid: Pid, signal: Signal) {
    let _ = rustix::process::kill_process(pid, signal);
}

/// Does nothing: on macOS, launchd adopts every orphan.
pub(crate) fn adopt_orphans() {}

/// Returns nothing: no call lists a process's descendants without a look at all processes.
pub(crate) fn descendants(_root: i32) -> Vec<i32> {
    Vec::new()
}

/// Returns what `leader`, a child of this process, has started, as far as it can be told apart: its descendants and its
/// process group.
pub(crate) fn strays(leader: i32) -> Vec<Process> {
    let all = processes();
    let descendants = tree(leader, &all);
    let members = all.iter().filter(|process| process.group == leader).copied();
    descendants.into_iter().chain(members).filter(|process| process.pid != leader).collect()
}

/// Does nothing: launchd reaps orphans.
pub(crate) fn reap(_leader: i32) {}

/// Returns the resident memory of a process in bytes, mapped files included, or 0 if there is no such process.
pub(crate) fn resident(pid: i32) -> u64 {
    // SAFETY: proc_taskinfo consists of integers, so all zeros is a valid value.
    let mut info: libc::proc_taskinfo = unsafe { mem::zeroed() };
    let size = size_of::<libc::proc_taskinfo>() as libc::c_int;
    // SAFETY: the buffer is `size` bytes and lives through the call.
    let written = unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDTASKINFO, 0, (&raw mut info).cast(), size) };
    if written == size { info.pti_resident_size } else { 0 }
}

/// Returns whether the file system of `path` is mounted so that no program on it can run.
pub(crate) fn forbids_programs(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|mount| mount.f_flags & libc::MNT_NOEXEC.cast_unsigned() != 0)
}

/// Returns the user's own cache directory, which is the same in every shell. macOS has no directory for sockets, and
/// removes old files from the temporary one.
pub(crate) fn user_runtime_dir(_uid: u32) -> Option<PathBuf> {
    let mut buffer = vec![0u8; libc::PATH_MAX as usize];
    // SAFETY: confstr writes at most the given length of the buffer.
    let length = unsafe { libc::confstr(libc::_CS_DARWIN_USER_CACHE_DIR, buffer.as_mut_ptr().cast(), buffer.len()) };
    if length == 0 || length > buffer.len() {
        return None;
    }
    buffer.truncate(length - 1);
    Some(PathBuf::from(OsString::from_vec(buffer)))
}

/// Returns whether a process is known to have sent the signal: one of our POSIX session, such as the shell.
/// Async-signal-safe.
///
/// `si_code` is always 0, and for Ctrl-C `si_pid` is the terminal emulator, in whose write the kernel sends the signal
/// (`psignal_internal` in xnu's `bsd/kern/kern_sig.c`). The emulator isn't in the session of its own terminal.
pub(crate) fn is_sent_by_process(info: &libc::siginfo_t) -> bool {
    // SAFETY: getsid takes no pointers.
    unsafe { libc::getsid(info.si_pid) == libc::getsid(0) }
}

/// Does nothing: macOS has no parent-death signal, so the keeper and the session watch each other instead.
pub(crate) fn die_with_parent(_command: &mut Command, _signal: Signal) {}
