//! Watches a directory on Linux, with dnotify (`F_NOTIFY`, fcntl(2)); `macos.rs` has the same type for macOS.
//!
//! Not with inotify: a process that uses it takes 15 ms longer to exit, since the kernel waits for a grace period then
//! (measured on Linux 6.18), and each session waits for the exit of its keeper. Unlike inotify it doesn't notice that the
//! directory itself is renamed.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::Path,
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::changes::Changes;

/// Linux's `<fcntl.h>`, which the libc crate has only in part.
const DN_CREATE: libc::c_int = 0x4;
const DN_DELETE: libc::c_int = 0x8;
const DN_RENAME: libc::c_int = 0x10;
const DN_MULTISHOT: libc::c_int = -0x8000_0000;

/// Watches the entries of a directory.
pub(crate) struct DirectoryWatch {
    /// Watched as long as it is open.
    _directory: File,
    changes: Signal,
}

impl DirectoryWatch {
    /// Starts to watch an existing directory.
    ///
    /// # Errors
    /// Those of the system, such as too many open files.
    pub(crate) fn new(directory: &Path, changes: Changes) -> io::Result<Self> {
        let what = match changes {
            Changes::Added => DN_CREATE | DN_RENAME,
            Changes::Removed => DN_DELETE | DN_RENAME,
        };
        // First, since the signal would end this process.
        let changes = signal(SignalKind::io())?;
        let directory = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(directory)?;
        // SAFETY: the descriptor is open, and the argument is a number.
        if unsafe { libc::fcntl(directory.as_raw_fd(), libc::F_NOTIFY, what | DN_MULTISHOT) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(DirectoryWatch { _directory: directory, changes })
    }

    /// Returns when the directory may have changed like that. It may also have been something else, so look. May be dropped
    /// and called again.
    pub(crate) async fn changed(&mut self) -> io::Result<()> {
        self.changes.recv().await.ok_or(io::ErrorKind::BrokenPipe.into())
    }
}
