//! Notices the end of a fake's process.

use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;

/// A process that a test watches, by a descriptor that becomes readable when the process has ended.
///
/// Other signs come too early: the kernel closes the files of a dying process one by one, and the state in
/// `/proc/PID/stat` is that of the first thread alone.
pub struct Ending(Option<OwnedFd>);

impl Ending {
    /// Watches the process with this PID.
    pub fn of(pid: i32) -> Self {
        // It fails for a process that has already ended.
        Self(Pid::from_raw(pid).and_then(|pid| watch(pid).ok()))
    }

    /// Waits until the process has ended, with its threads, files and sockets. Returns false if it has not by then.
    pub fn comes_before(&self, deadline: Instant) -> bool {
        let Some(process) = &self.0 else { return true };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).expect("a test waits for minutes at most");
            match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&left)) {
                Ok(ready) => return ready > 0,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("a process can't be waited for: {error}"),
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn watch(pid: Pid) -> rustix::io::Result<OwnedFd> {
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
}

#[cfg(target_os = "macos")]
fn watch(pid: Pid) -> rustix::io::Result<OwnedFd> {
    use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent, kqueue};

    let queue = kqueue()?;
    let exit = EventFilter::Proc { pid, flags: ProcessEvents::EXIT };
    let exit = Event::new(exit, EventFlags::ADD, std::ptr::null_mut());
    // SAFETY: the event refers to no descriptor.
    unsafe { kevent(&queue, &[exit], &mut [] as &mut [Event], None)? };
    Ok(queue)
}
