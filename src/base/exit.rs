//! How lclaude ends: with an exit code, or by a signal like a program that doesn't handle it.
//!
//! A shell tells the two apart: it ends a loop when Ctrl-C killed the command in it, but not after exit code 130.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use rustix::process::Signal;

use super::{error::Code, process};

/// How lclaude ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(u8),
    /// INT, TERM, HUP or QUIT. A shell reports it as 128+N.
    Signal(Signal),
}

/// Returns the number of the signal that ended a program, or `None` if it exited.
pub(crate) fn signal_of(status: ExitStatus) -> Option<i32> {
    status.signal()
}

impl Exit {
    /// Returns how lclaude ends after a child with this status: the same way, but with 128+N after signals other than
    /// those of [`Exit::Signal`].
    pub(crate) fn of(status: ExitStatus) -> Self {
        if let Some(signal) = status.signal().and_then(Signal::from_named_raw)
            && [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT].contains(&signal)
        {
            return Exit::Signal(signal);
        }
        let code = status.code().or(status.signal().map(|signal| 128 + signal));
        Exit::Code(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(Code::Bug as u8))
    }

    /// Ends this process.
    pub(crate) fn leave(self) -> ! {
        let code = match self {
            Exit::Code(code) => code.into(),
            Exit::Signal(signal) => {
                process::end_by(signal);
                // The first process of a container isn't ended by a signal that it doesn't handle.
                128 + signal.as_raw()
            }
        };
        // Returning from `main` would wait for a thread that may be waiting for another process's lock.
        std::process::exit(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_follows_the_status_of_the_child() {
        // Raw statuses as wait(2) returns them.
        for (status, exit) in [
            (0, Exit::Code(0)),
            (3 << 8, Exit::Code(3)),
            (130 << 8, Exit::Code(130)),
            (libc::SIGINT, Exit::Signal(Signal::INT)),
            (libc::SIGTERM, Exit::Signal(Signal::TERM)),
            (libc::SIGHUP, Exit::Signal(Signal::HUP)),
            (libc::SIGQUIT, Exit::Signal(Signal::QUIT)),
            (libc::SIGKILL, Exit::Code(137)),
            (libc::SIGSEGV | 0x80, Exit::Code(139)),
        ] {
            assert_eq!(Exit::of(ExitStatus::from_raw(status)), exit, "{status}");
        }
    }
}
