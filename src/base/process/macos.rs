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
    io::retry_on_intr,
    process::{Pid, Signal, WaitOptions, WaitStatus, waitpid},
};

use super::{
    tree::{Process, tree},
    unix::own_session,
};

/// How long a connection to a port of this machine may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(100);

/// `PROC_PIDT_BSDINFOWITHUNIQID`, and what it fills (`bsd/sys/proc_info_private.h` in xnu-11417). libc has only what is in
/// the public header.
const INFO_WITH_UNIQUE_ID: libc::c_int = 18;

#[repr(C)]
struct Info {
    process: libc::proc_bsdinfo,
    executable: [u8; 16],
    /// Counted from the boot on. exec(2) leaves it as it is (`p_uniqueid` in `bsd/sys/proc_ro.h`).
    unique_id: u64,
    parent_unique_id: u64,
    versions: [i32; 2],
    reserved: [u64; 2],
}

// `proc_uniqidentifierinfo` has 56 bytes.
const _: () = assert!(size_of::<Info>() == size_of::<libc::proc_bsdinfo>() + 56);

/// Returns what the kernel says about a process, or `None` if it doesn't run, is a zombie or belongs to another user.
fn info(pid: i32) -> Option<Info> {
    // SAFETY: Info consists of integers, so all zeros is a valid value.
    let mut info: Info = unsafe { mem::zeroed() };
    // The second is public, and does without the number.
    let flavors = [(INFO_WITH_UNIQUE_ID, size_of::<Info>()), (libc::PROC_PIDTBSDINFO, size_of::<libc::proc_bsdinfo>())];
    let is_filled = flavors.into_iter().any(|(flavor, size)| {
        let size = size as libc::c_int;
        // SAFETY: the buffer has at least `size` bytes and lives through the call.
        unsafe { libc::proc_pidinfo(pid, flavor, 0, (&raw mut info).cast(), size) == size }
    });
    (is_filled && info.process.pbi_status != libc::SZOMB).then_some(info)
}

impl Info {
    /// Returns a number that no other process with the same PID has: the microsecond of its start, and the last 12 bits of
    /// its unique ID, in case the clock was set back. The unique ID alone is repeated after a reboot.
    fn start(&self) -> u64 {
        let microsecond = self.process.pbi_start_tvsec * 1_000_000 + self.process.pbi_start_tvusec;
        microsecond << 12 | self.unique_id & 0xfff
    }
}

/// Returns a number that tells the process apart from others with its PID, or `None` if no such process runs or it is a
/// zombie.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    info(pid).as_ref().map(Info::start)
}

/// Returns the start time of this process. Allocates nothing, so it may be called between fork and exec.
pub(crate) fn own_start_time() -> Option<u64> {
    // SAFETY: getpid takes no pointers.
    start_time(unsafe { libc::getpid() })
}

/// Returns a process, or `None` if it doesn't run or is a zombie.
pub(crate) fn process(pid: i32) -> Option<Process> {
    let info = info(pid)?;
    let (start, info) = (info.start(), info.process);
    let (parent, is_stopped) = (info.pbi_ppid.cast_signed(), info.pbi_status == libc::SSTOP);
    // SAFETY: getsid takes no pointers.
    let (group, session) = (info.pbi_pgid.cast_signed(), unsafe { libc::getsid(pid) });
    Some(Process { pid, start, parent, group, session, is_stopped })
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
    info(pid).map(|info| info.process.pbi_uid)
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

/// Sends `signal` to the process that `watch` watches, which may have ended. No call signals by a watch, so the process is
/// looked at right before: its PID is reused only after all others were.
pub(crate) fn send_signal(_watch: BorrowedFd<'_>, (pid, start): (i32, u64), signal: Signal) {
    if let Some(id) = Pid::from_raw(pid).filter(|_| start_time(pid) == Some(start)) {
        let _ = rustix::process::kill_process(id, signal);
    }
}

/// Waits for the end of a child, and returns its status. `None` if there is no such child.
pub(crate) fn wait_for_child(child: Pid) -> Option<WaitStatus> {
    // Not after a `watch`: that reports an end shortly before the child can be waited for (`proc_exit` in
    // bsd/kern/kern_exit.c of xnu).
    let status = retry_on_intr(|| waitpid(Some(child), WaitOptions::empty()));
    status.ok().flatten().map(|(_, status)| status)
}

/// Does nothing: on macOS, launchd adopts every orphan.
pub(crate) fn adopt_orphans() {}

/// Returns nothing: no call lists a process's descendants without a look at all processes.
pub(crate) fn descendants(_root: i32) -> Vec<i32> {
    Vec::new()
}

/// Returns what `leader`, a child of this process, has started, as far as it can be told apart: its descendants and its
/// process group. Once it has ended, other processes may have its PID, or its number as their group in another session.
pub(crate) fn strays((leader, start): (i32, u64)) -> Vec<Process> {
    let (all, session) = (processes(), own_session());
    let mut found = tree(leader, &all);
    if found.first().is_some_and(|first| first.start != start) {
        found.clear();
    }
    found.extend(all.iter().filter(|process| (process.group, process.session) == (leader, session)));
    found.retain(|process| process.pid != leader);
    found
}

/// Does nothing: launchd reaps orphans.
pub(crate) fn reap(_leader: i32) {}

/// Returns the memory of a process in bytes, or 0 if there is no such process: the resident memory, mapped files included,
/// or the footprint if that is larger. Only the footprint has what Metal holds for the process
/// (`iokit_mapped`, see "Physical footprint" in osfmk/kern/task.c of xnu), and Activity Monitor shows it.
pub(crate) fn memory_of(pid: i32) -> u64 {
    // SAFETY: rusage_info_v4 consists of integers, so all zeros is a valid value.
    let mut usage: libc::rusage_info_v4 = unsafe { mem::zeroed() };
    // SAFETY: this flavor fills a rusage_info_v4, which lives through the call.
    let result = unsafe { libc::proc_pid_rusage(pid, libc::RUSAGE_INFO_V4, (&raw mut usage).cast()) };
    if result == 0 { usage.ri_resident_size.max(usage.ri_phys_footprint) } else { 0 }
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

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::{super::Identity, *};

    #[test]
    #[allow(clippy::zombie_processes, reason = "wait_for_child waits for it")]
    fn kernel_tells_unique_ids_which_stay_the_same() {
        let own = info(std::process::id().cast_signed()).expect("this process runs");
        assert!(own.unique_id > own.parent_unique_id && own.parent_unique_id > 0);
        let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().expect("it runs");
        let pid = child.id().cast_signed();
        let (before, after) = (info(pid).expect("it runs"), info(pid).expect("it runs"));
        assert_eq!((before.start(), before.parent_unique_id), (after.start(), own.unique_id));
        assert!(before.unique_id > own.unique_id);
        drop(child.stdin.take());
        assert!(wait_for_child(Pid::from_raw(pid).expect("a PID")).is_some());
        assert_eq!(start_time(pid), None);
    }

    #[test]
    fn zombie_has_ended_and_gets_no_signal() {
        let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().expect("it runs");
        let identity = Identity::of(child.id()).expect("it runs");
        drop(child.stdin.take());
        while identity.is_alive() {
            std::thread::yield_now();
        }
        identity.signal(Signal::KILL);
        assert!(child.wait().expect("it is our child").success());
    }
}
