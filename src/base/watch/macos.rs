//! Watches a directory on macOS, with kqueue; `linux.rs` has the same type for Linux.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
    ptr,
    time::Duration,
};

use rustix::event::kqueue::{self, Event, EventFilter, EventFlags, VnodeEvents};
use tokio::io::{Interest, unix::AsyncFd};

use super::changes::Changes;

/// Watches the entries of a directory.
pub(crate) struct DirectoryWatch {
    queue: AsyncFd<OwnedFd>,
    /// Watched as long as it is open.
    _directory: File,
}

impl DirectoryWatch {
    /// Starts to watch an existing directory.
    ///
    /// # Errors
    /// Those of the system, such as too many open files.
    pub(crate) fn new(directory: &Path, _: Changes) -> io::Result<Self> {
        let (queue, directory) = watch(directory)?;
        // SAFETY: the queue owns its descriptor, which stays the same and open.
        let queue = unsafe { AsyncFd::register_with_interest(queue, Interest::READABLE) }?;
        Ok(DirectoryWatch { queue, _directory: directory })
    }

    /// Returns when the directory, or anything in it, may have been added, removed or renamed. It may also have been something
    /// else, so look. May be dropped and called again.
    pub(crate) async fn changed(&mut self) -> io::Result<()> {
        let mut ready = self.queue.readable().await?;
        drain(self.queue.get_ref())?;
        ready.clear_ready();
        Ok(())
    }
}

/// Returns a queue that is readable when the directory's entries have changed, or the directory was removed.
fn watch(directory: &Path) -> io::Result<(OwnedFd, File)> {
    // Doesn't keep the file system from being unmounted (open(2)).
    let watched = OpenOptions::new().read(true).custom_flags(libc::O_EVTONLY | libc::O_DIRECTORY).open(directory)?;
    let queue = kqueue::kqueue()?;
    rustix::io::fcntl_setfd(&queue, rustix::io::FdFlags::CLOEXEC)?;
    let flags = VnodeEvents::WRITE | VnodeEvents::DELETE | VnodeEvents::RENAME | VnodeEvents::REVOKE;
    let filter = EventFilter::Vnode { vnode: watched.as_raw_fd(), flags };
    let added = Event::new(filter, EventFlags::ADD | EventFlags::CLEAR, ptr::null_mut());
    let mut none = Vec::with_capacity(0);
    // SAFETY: the descriptor stays open as long as the queue.
    unsafe { kqueue::kevent(&queue, &[added], rustix::buffer::spare_capacity(&mut none), Some(Duration::ZERO)) }?;
    Ok((queue, watched))
}

/// Empties the queue.
fn drain(queue: &OwnedFd) -> io::Result<()> {
    let mut events = Vec::with_capacity(8);
    // SAFETY: nothing is added. One call returns the only event, which is then clear.
    unsafe { kqueue::kevent(queue, &[], rustix::buffer::spare_capacity(&mut events), Some(Duration::ZERO)) }?;
    Ok(())
}
