//! Which file a path leads to at present, and in which version.

use std::{fs, io, os::unix::fs::FileExt, path::Path, time::UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::disk;

/// What is read of a file's beginning, and of each other part. Together they are read in a few milliseconds.
const BEGINNING: usize = 1 << 20;
const SAMPLE: usize = 16 << 10;
const SAMPLES: u64 = 64;

/// The file behind a path, to be compared only. What is run, opened and shown is the path as the user named it: a
/// program may look at its own name, a model's parts lie beside it, and a link may lead to another version tomorrow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    /// The canonical path, or the path itself if the file is missing. Escaped, since it may not be valid UTF-8.
    file: String,
    /// Nanoseconds since the epoch, or 0 if it can't be read.
    modified: u128,
}

impl Fingerprint {
    /// Returns the fingerprint of the file that `path` leads to now.
    pub(crate) fn of(path: &Path) -> Self {
        let file = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let modified = fs::metadata(&file).and_then(|meta| meta.modified()).ok();
        Fingerprint {
            file: file.as_os_str().as_encoded_bytes().escape_ascii().to_string(),
            modified: modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |age| age.as_nanos()),
        }
    }
}

/// Returns a hash of samples of a file: its beginning, its length and parts of the rest.
///
/// # Errors
/// If it can't be read.
pub(crate) fn sample(path: &Path) -> io::Result<String> {
    let file = disk::open(path)?;
    let length = file.metadata()?.len();
    let mut hash = Sha256::new();
    hash.update(length.to_le_bytes());
    let mut buffer = vec![0; BEGINNING];
    for at in 0..SAMPLES {
        let (from, size) = if at == 0 { (0, BEGINNING) } else { (length / SAMPLES * at, SAMPLE) };
        let read = file.read_at(&mut buffer[..size], from)?;
        hash.update(&buffer[..read]);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn link_and_target_have_one_fingerprint_until_the_link_changes() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        ["v1", "v2"].iter().for_each(|name| fs::write(at(name), "").expect("a file"));
        symlink("v1", at("current")).expect("a link");
        assert_eq!(Fingerprint::of(&at("current")), Fingerprint::of(&at("v1")));
        let before = Fingerprint::of(&at("current"));
        fs::remove_file(at("current")).and_then(|()| symlink("v2", at("current"))).expect("a link");
        assert_ne!(Fingerprint::of(&at("current")), before);
        assert_ne!(Fingerprint::of(&at("missing")), Fingerprint::of(&at("missing too")));
    }
}
