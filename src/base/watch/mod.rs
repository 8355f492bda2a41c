//! Notices when files are removed, without looking again and again.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod system;

use std::{io, os::fd::OwnedFd, path::Path};

use tokio::io::{Interest, unix::AsyncFd};

/// Watches a directory for removed files.
pub(crate) struct DirectoryWatch {
    queue: AsyncFd<OwnedFd>,
    _watched: system::Watched,
}

impl DirectoryWatch {
    /// Starts to watch an existing directory.
    ///
    /// # Errors
    /// Those of the system, such as too many open files.
    pub(crate) fn new(directory: &Path) -> io::Result<Self> {
        let (queue, _watched) = system::watch(directory)?;
        // SAFETY: the queue owns its descriptor, which stays the same and open.
        let queue = unsafe { AsyncFd::register_with_interest(queue, Interest::READABLE) }?;
        Ok(DirectoryWatch { queue, _watched })
    }

    /// Returns when a file in the directory or the directory itself may have been removed or renamed. It may also have been
    /// something else, so look.
    pub(crate) async fn removed(&self) -> io::Result<()> {
        let mut ready = self.queue.readable().await?;
        system::drain(self.queue.get_ref())?;
        ready.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn removal_of_a_file_or_the_directory_is_noticed() {
        let root = tempfile::tempdir().expect("a directory");
        let watched = root.path().join("watched");
        fs::create_dir(&watched).expect("a directory");
        for name in ["one", "two", "three"] {
            fs::write(watched.join(name), "").expect("a file");
        }
        let watch = DirectoryWatch::new(&watched).expect("it can be watched");
        let changes: [fn(&Path) -> io::Result<()>; 4] = [
            |watched| fs::remove_file(watched.join("one")),
            |watched| fs::rename(watched.join("two"), watched.with_file_name("elsewhere")),
            |watched| fs::remove_file(watched.join("three")),
            |watched| fs::remove_dir(watched),
        ];
        for change in changes {
            assert!(timeout(Duration::ZERO, watch.removed()).await.is_err(), "nothing was removed");
            change(&watched).expect("it exists");
            watch.removed().await.expect("an event");
        }
    }
}
