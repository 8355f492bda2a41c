//! Watches a directory on Linux, with inotify; `macos.rs` has the same functions for macOS.

use std::{io, mem::MaybeUninit, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};

/// Nothing else has to stay open.
pub(super) type Watched = ();

/// Returns a queue that is readable when something in the directory was removed.
pub(super) fn watch(directory: &Path) -> io::Result<(OwnedFd, Watched)> {
    let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    let removed = WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
    inotify::add_watch(&queue, directory, removed | WatchFlags::ONLYDIR)?;
    Ok((queue, ()))
}

/// Empties the queue.
pub(super) fn drain(queue: &OwnedFd) -> io::Result<()> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
    loop {
        match rustix::io::read(queue, &mut buffer) {
            Ok(_) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
