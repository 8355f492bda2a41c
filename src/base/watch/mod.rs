//! Notices when files are added or removed, without looking again and again.

mod changes;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod system;

pub(crate) use changes::Changes;
pub(crate) use system::DirectoryWatch;

#[cfg(test)]
mod tests {
    use std::{fs, io, path::Path, time::Duration};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn removal_of_a_file_is_noticed() {
        let root = tempfile::tempdir().expect("a directory");
        let watched = root.path().join("watched");
        fs::create_dir(&watched).expect("a directory");
        for name in ["one", "two", "three"] {
            fs::write(watched.join(name), "").expect("a file");
        }
        let mut watch = DirectoryWatch::new(&watched, Changes::Removed).expect("it can be watched");
        let changes: [fn(&Path) -> io::Result<()>; 3] = [
            |watched| fs::remove_file(watched.join("one")),
            |watched| fs::rename(watched.join("two"), watched.with_file_name("elsewhere")),
            |watched| fs::remove_file(watched.join("three")),
        ];
        for change in changes {
            assert!(timeout(Duration::ZERO, watch.changed()).await.is_err(), "nothing was removed");
            change(&watched).expect("it exists");
            watch.changed().await.expect("an event");
        }
    }

    #[tokio::test]
    async fn new_file_is_noticed() {
        let root = tempfile::tempdir().expect("a directory");
        let mut watch = DirectoryWatch::new(root.path(), Changes::Added).expect("it can be watched");
        assert!(timeout(Duration::ZERO, watch.changed()).await.is_err(), "nothing was added");
        fs::write(root.path().join("new"), "").expect("a file");
        watch.changed().await.expect("an event");
    }
}
