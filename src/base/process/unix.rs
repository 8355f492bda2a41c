//! Process functions that are the same on every Unix.

use std::{
    ffi::CStr,
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, Resource, Rlimit, Signal, WaitOptions, getrlimit, setrlimit},
    pty::{self, OpenptFlags},
    termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};

/// Detaches a keeper from the session that started it.
///
/// It gets its own POSIX session, `/` as working directory, and no inherited descriptors but the standard three,
/// because an open one would hang a caller's pipeline. Call this before opening any descriptor.
pub(crate) fn detach() -> io::Result<()> {
    rustix::process::setsid()?;
    // SAFETY: this process owns no descriptor yet; all from 3 up were inherited.
    unsafe { close_fds::close_open_fds(3, &[]) };
    std::env::set_current_dir("/")
}

/// Splits this process in two. Returns the child's PID in the parent, and `None` in the child.
///
/// # Safety
/// This thread must be the only one of the process: others end in the child, with their locks held.
pub(crate) unsafe fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the caller vouches for it.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        child => Ok(Pid::from_raw(child)),
    }
}

/// Ignores the signals that ask this process to end.
pub(crate) fn ignore_requests_to_end() {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
        // SAFETY: the action runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Closes all descriptors from 3 up, except `kept`.
///
/// # Safety
/// Nothing may use one of them later, or close it again.
pub(crate) unsafe fn close_all_but(kept: BorrowedFd<'_>) {
    // SAFETY: the caller vouches for it.
    unsafe { close_fds::close_open_fds(3, &[kept.as_raw_fd()]) };
}

/// Waits until this process has no children, at most `limit`. A canceled command is killed, but takes a moment to exit.
pub(crate) async fn wait_for_children(limit: Duration) {
    let Ok(mut exited) = signal(SignalKind::child()) else {
        return;
    };
    let gone = async {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) if exited.recv().await.is_some() => {}
                _ => return,
            }
        }
    };
    // After the limit, the rest is left to the system.
    let _ = timeout(limit, gone).await;
}

/// Returns the name of the user that this process runs as, from the user database, or `None` if it isn't there.
pub(crate) fn user_name() -> Option<String> {
    // Longer entries are errors.
    let mut text: [libc::c_char; 4096] = [0; 4096];
    let mut found = std::ptr::null_mut();
    // SAFETY: all zeros are a valid `passwd`, which has only numbers and pointers.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let user = rustix::process::geteuid().as_raw();
    // SAFETY: the pointers are valid during the call, and the length is that of the buffer.
    let status = unsafe { libc::getpwuid_r(user, &raw mut entry, text.as_mut_ptr(), text.len(), &raw mut found) };
    if status != 0 || found.is_null() {
        return None;
    }
    // SAFETY: after success the name is a string in the buffer, which still exists.
    let name = unsafe { CStr::from_ptr(entry.pw_name) };
    Some(name.to_str().ok()?.to_owned())
}

/// Replaces this process with `command`. Returns only if that failed.
pub(crate) fn exec(command: &mut Command) -> io::Error {
    command.exec()
}

/// Returns the reading and the writing end for a child's output: a pipe, or a pseudo-terminal for a program that shows
/// progress only on a terminal.
pub(crate) fn open_output(terminal: bool) -> io::Result<(OwnedFd, OwnedFd)> {
    if !terminal {
        let (read, write) = io::pipe()?;
        return Ok((read.into(), write.into()));
    }
    let controller = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    // macOS can't set this in openpt; no other thread starts a program meanwhile.
    rustix::io::fcntl_setfd(&controller, rustix::io::FdFlags::CLOEXEC)?;
    pty::grantpt(&controller)?;
    pty::unlockpt(&controller)?;
    let name = pty::ptsname(&controller, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = rustix::fs::open(name, flags, Mode::empty())?;
    // Raw mode, so that the terminal adds no carriage returns.
    let mut settings = tcgetattr(&terminal)?;
    settings.make_raw();
    tcsetattr(&terminal, OptionalActions::Now, &settings)?;
    Ok((controller, terminal))
}

/// Returns whether our caller made us ignore `signal`, as `nohup` and background jobs of a shell do. Such a signal
/// stays ignored in the child too, as it would without lclaude.
pub(crate) fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: sigaction consists of integers and an optional function, so all zeros is a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null new action changes nothing; the old one is written to a valid place.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    result == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Ends this process by `signal`, as if it weren't handled, without a core dump. Returns only if that failed.
pub(crate) fn end_by(signal: Signal) {
    // One byte: with 0, Linux still pipes a dump to the program that `core_pattern` may name (core(5)).
    let limit = Rlimit { current: Some(1), ..getrlimit(Resource::Core) };
    let _ = setrlimit(Resource::Core, limit);
    // SAFETY: the default action needs no handler, the set is initialized before it is used, and raise takes a number.
    unsafe {
        libc::signal(signal.as_raw(), libc::SIG_DFL);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal.as_raw());
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
        // To this thread, so that it ends before the call returns.
        libc::raise(signal.as_raw());
    }
}

/// Returns whether Ctrl-C and Ctrl-\ currently send their signals to our process group: it is in the foreground, and
/// the terminal isn't in raw mode.
pub(crate) fn is_in_foreground() -> bool {
    // The standard streams may all be redirected.
    let Ok(terminal) = fs::File::open("/dev/tty") else {
        return false;
    };
    is_foreground_of(&terminal)
        && tcgetattr(&terminal).is_ok_and(|settings| settings.local_modes.contains(LocalModes::ISIG))
}

/// Returns whether our process group is the foreground group of `terminal`.
///
/// Both numbers are 0 if the group's leader is outside our PID namespace (`nsenter`, `unshare --pid`), which rustix
/// doesn't support.
pub(crate) fn is_foreground_of(terminal: impl AsFd) -> bool {
    // SAFETY: the descriptor is open during the call, and neither call takes a pointer.
    unsafe { libc::tcgetpgrp(terminal.as_fd().as_raw_fd()) == libc::getpgrp() }
}

/// Returns the ID of our POSIX session, or 0 if its leader is outside our PID namespace.
pub(crate) fn own_session() -> i32 {
    // SAFETY: getsid takes no pointers.
    unsafe { libc::getsid(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_name_is_that_of_the_user_database() {
        let id = Command::new("id").arg("-un").output().expect("id runs");
        let expected = id.status.success().then(|| String::from_utf8_lossy(&id.stdout).trim().to_owned());
        assert_eq!(user_name(), expected);
    }
}
