//! Watches a directory on macOS, with kqueue; `linux.rs` has the same functions for Linux.

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

/// The watched directory, as long as it is watched.
pub(super) type Watched = File;

/// Returns a queue that is readable when the directory's entries have changed, or the directory was removed.
pub(super) fn watch(directory: &Path) -> io::Result<(OwnedFd, Watched)> {
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
pub(super) fn drain(queue: &OwnedFd) -> io::Result<()> {
    let mut events = Vec::with_capacity(8);
    // SAFETY: nothing is added. One call returns the only event, which is then clear.
    unsafe { kqueue::kevent(queue, &[], rustix::buffer::spare_capacity(&mut events), Some(Duration::ZERO)) }?;
    Ok(())
}
