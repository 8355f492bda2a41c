//! Snapshots of the whole home directory, to compare before and after.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt, path::PathBuf};

use super::Stage;

/// Mode, modification time (seconds, nanoseconds) and content of each file, by path.
pub type Snapshot = BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)>;

impl Stage {
    /// Returns all files of the home directory, including lclaude's own.
    pub fn home_snapshot(&self) -> Snapshot {
        let mut found = Snapshot::new();
        let mut left = vec![self.home()];
        while let Some(path) = left.pop() {
            let meta = fs::symlink_metadata(&path).expect("the path exists");
            let content = if meta.is_dir() {
                left.extend(
                    fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("a directory entry").path()),
                );
                Vec::new()
            } else {
                fs::read(&path).unwrap_or_default()
            };
            found.insert(path, (meta.mode(), meta.mtime(), meta.mtime_nsec(), content));
        }
        found
    }

    /// Fails if any file of the home directory has changed.
    #[track_caller]
    pub fn assert_home_is(&self, before: &Snapshot) {
        let now = self.home_snapshot();
        let changed = |from: &Snapshot, to: &Snapshot| -> Vec<PathBuf> {
            from.iter().filter(|(path, what)| to.get(*path) != Some(what)).map(|(path, _)| path.clone()).collect()
        };
        assert!(now == *before, "changed from {:#?} to {:#?}", changed(before, &now), changed(&now, before));
    }
}
