//! What every Unix does alike; a `windows.rs` would have the same names.

use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
};

use rustix::{
    fs::{Mode, OFlags},
    pty::{self, OpenptFlags},
    termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr},
};

/// Cuts a keeper loose from the session that started it: a session (terminal) of its own, no inherited descriptor but
/// the standard three (one held open would hang a caller's pipeline), and no directory kept busy.
///
/// Call it before any descriptor of our own is open.
pub fn detach() -> io::Result<()> {
    rustix::process::setsid()?;
    // SAFETY: nothing in this process owns a descriptor yet; all from 3 up came from our caller.
    unsafe { close_fds::close_open_fds(3, &[]) };
    std::env::set_current_dir("/")
}

/// Becomes `command`; returns only if it could not be started.
pub fn replace_with(command: &mut Command) -> io::Error {
    command.exec()
}

/// Where a child's output is read, and where the child writes it: a pipe, or a pseudo-terminal for a program that tells
/// its progress only to one.
pub fn output(terminal: bool) -> io::Result<(OwnedFd, OwnedFd)> {
    if !terminal {
        let (read, write) = io::pipe()?;
        return Ok((read.into(), write.into()));
    }
    let controller = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    // Not in one step, which macOS cannot: nobody starts a program meanwhile.
    rustix::io::fcntl_setfd(&controller, rustix::io::FdFlags::CLOEXEC)?;
    pty::grantpt(&controller)?;
    pty::unlockpt(&controller)?;
    let name = pty::ptsname(&controller, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = rustix::fs::open(name, flags, Mode::empty())?;
    // As it is written, without a carriage return before each end of line.
    let mut settings = tcgetattr(&terminal)?;
    settings.make_raw();
    tcsetattr(&terminal, OptionalActions::Now, &settings)?;
    Ok((controller, terminal))
}

/// Whether our caller had us ignore `signal`, as `nohup` and a shell's background jobs do. Such a signal stays ignored:
/// the child inherits that, as it would without lclaude.
pub fn ignored(signal: libc::c_int) -> bool {
    // SAFETY: sigaction is plain data, for which all zeros is a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null new action only asks; the old one is written to a valid place.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Whether the keys of our terminal (Ctrl-C, Ctrl-\) send their signals to our process group just now: it is in the
/// foreground, and no program has the terminal in raw mode.
pub fn in_foreground() -> bool {
    // Not one of the standard streams, which may all be redirected.
    let Ok(terminal) = fs::File::open("/dev/tty") else {
        return false;
    };
    is_foreground_of(&terminal)
        && tcgetattr(&terminal).is_ok_and(|settings| settings.local_modes.contains(LocalModes::ISIG))
}

/// Whether our process group is the one that `terminal` has in its foreground.
///
/// Where the group's leader is outside our PID namespace (`nsenter`, `unshare --pid`) both numbers are 0; rustix takes
/// that for impossible.
pub fn is_foreground_of(terminal: impl AsFd) -> bool {
    // SAFETY: the descriptor is open for the call, and both calls only ask.
    unsafe { libc::tcgetpgrp(terminal.as_fd().as_raw_fd()) == libc::getpgrp() }
}

/// The session (in the terminal's sense) that we are in; 0 where its leader is outside our PID namespace.
pub fn own_session() -> i32 {
    // SAFETY: it only asks.
    unsafe { libc::getsid(0) }
}
