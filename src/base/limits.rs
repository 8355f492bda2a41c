//! The limits of the system that any call may meet: what their errors mean, and the command that raises each.
//!
//! They are recognized by the text of the error, because that is all that other libraries pass on of it.

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd},
        unix::process::CommandExt,
    },
    process::Command,
    sync::OnceLock,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::commands::{OPEN_FILES_KEY, SHOW_MEMORY};

/// Open files that lclaude and a server need at most.
const FILES: u64 = 4096;
/// The largest soft limit of macOS if the hard limit is higher (`OPEN_MAX`).
const MOST_FILES: u64 = 10_240;
/// Descriptors that are left for a process's own work when it takes no more connections.
const RESERVED_FILES: u64 = 16;

/// The limit of open files before [`raise_files`].
static FILES_BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Raises the limit of open files of this process as far as it may.
pub(crate) fn raise_files() {
    let before = getrlimit(Resource::Nofile);
    let raised = [before.maximum, Some(MOST_FILES)].into_iter().any(|current| {
        let is_higher = before.current.is_some_and(|before| current.is_none_or(|current| current > before));
        is_higher && setrlimit(Resource::Nofile, Rlimit { current, maximum: before.maximum }).is_ok()
    });
    if raised {
        let _ = FILES_BEFORE.set(before);
    }
}

/// Gives a program the limit of open files that this process had before [`raise_files`]: one that uses select(2) breaks
/// with descriptors from 1024 up.
pub(crate) fn restore_files(command: &mut Command) {
    if let Some(before) = FILES_BEFORE.get().copied() {
        let restore = move || setrlimit(Resource::Nofile, before).map_err(io::Error::from);
        // SAFETY: between fork and exec the closure makes one system call and touches no lock and no heap.
        unsafe { command.pre_exec(restore) };
    }
}

/// Returns the error for a connection that this process should refuse, because it will soon be out of descriptors, or
/// `None` if there are enough.
pub(crate) fn refuse_connection(accepted: impl AsFd) -> Option<io::Error> {
    let most = getrlimit(Resource::Nofile).current?;
    // A new descriptor is the lowest that is free.
    let used = u64::try_from(accepted.as_fd().as_raw_fd()).ok()?;
    (used >= most.saturating_sub(RESERVED_FILES)).then(|| io::Error::from_raw_os_error(libc::EMFILE))
}

/// A limit that a call has met.
#[derive(Debug, PartialEq)]
pub(crate) struct Limit {
    pub cause: String,
    pub help: String,
}

impl Limit {
    /// Returns the limit that an error's text reports, such as `Too many open files (os error 24)`, or `None`.
    pub(crate) fn of(error: &str) -> Option<Self> {
        let is = |code: i32| {
            // As `Display` and `Debug` of `io::Error` print it.
            [format!("(os error {code})"), format!("code: {code}, ")].iter().any(|text| error.contains(text))
        };
        let limit = |cause: String, help: String| Some(Limit { cause, help });
        if is(libc::EMFILE) {
            let limits = getrlimit(Resource::Nofile);
            let (now, most) = (limits.current.unwrap_or(u64::MAX), limits.maximum.unwrap_or(u64::MAX));
            let cause = format!("a process may have only {now} files open: {}", text_of(libc::EMFILE));
            let wanted = FILES.max(now.saturating_mul(2));
            let help = format!("ulimit -n {}", wanted.min(most));
            let by_administrator = "  # as root, since the hard limit is too low";
            limit(cause, if most <= now { format!("ulimit -n {wanted}{by_administrator}") } else { help })
        } else if is(libc::ENFILE) {
            limit(
                format!("all programs together have too many files open: {}", text_of(libc::ENFILE)),
                format!("sysctl {OPEN_FILES_KEY}  # shows the machine's limit; close other programs or raise it"),
            )
        } else if is(libc::EAGAIN) {
            limit(
                format!("this user or container has reached its process limit: {}", text_of(libc::EAGAIN)),
                "ulimit -u  # shows the limit; close other programs or raise it".into(),
            )
        } else if is(libc::ENOMEM) {
            limit(
                format!("the system is out of memory: {}", text_of(libc::ENOMEM)),
                format!("{SHOW_MEMORY}  # shows how much memory is used; close other programs"),
            )
        } else {
            None
        }
    }
}

/// Returns the system's own text. [`Limit::of`] recognizes the limit by it in a cause too.
fn text_of(code: i32) -> String {
    io::Error::from_raw_os_error(code).to_string()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn limits_are_recognized_in_every_form_and_again_in_their_cause() {
        for (code, help) in [
            (libc::EMFILE, "ulimit -n "),
            (libc::ENFILE, "sysctl "),
            (libc::EAGAIN, "ulimit -u"),
            (libc::ENOMEM, SHOW_MEMORY),
        ] {
            let error = io::Error::from_raw_os_error(code);
            for text in [format!("tcp open error: {error}"), format!("failed to spawn thread: {error:?}")] {
                let limit = Limit::of(&text).expect("a limit");
                assert!(limit.help.starts_with(help), "{limit:?}");
                assert_eq!(Limit::of(&limit.cause), Some(limit));
            }
        }
        assert_eq!(Limit::of(&io::Error::from_raw_os_error(libc::ENOENT).to_string()), None);
        assert_eq!(Limit::of("it exited with code: 24"), None);
    }
}
