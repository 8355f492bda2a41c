//! The store's directory, and the only ways in which its files are opened, written and removed.
//!
//! Only this user can write there, so a symlink, a hard link or another user's file in it was put there by root or a
//! restored backup. It is never followed or read.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use super::names::{self, Name};
use crate::base::{disk, failpoint};

/// Files that are looked at. The store itself never has as many.
const MAX_FILES: usize = 10_000;

/// A directory that belongs to this user and that nobody else can write.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Opens a directory.
    ///
    /// # Errors
    /// `NotFound` if it is missing, `PermissionDenied` if it isn't private, `NotADirectory` if it is a symlink or a file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let refused = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        // Linux says of a symlink that it isn't a directory, macOS that there are too many.
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| {
            let is_other = matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ELOOP));
            if is_other {
                io::Error::new(io::ErrorKind::NotADirectory, "it or a directory above it is a file or a symlink")
            } else {
                error
            }
        })?;
        let meta = opened.metadata()?;
        if !is_ours(&meta) {
            return refused("it belongs to another user");
        }
        // Whoever can write its parent can put another directory in its place.
        let parent = fs::metadata(path.parent().unwrap_or(path))?;
        if !is_ours(&parent) || parent.mode() & 0o022 != 0 {
            return refused("the directory above it belongs to another user or is writable by others");
        }
        if meta.mode() & 0o077 != 0 {
            opened.set_permissions(fs::Permissions::from_mode(0o700))?;
        }
        Ok(Directory { path: path.to_owned() })
    }

    /// Opens a directory, and creates it and its missing parents with mode 0700.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                disk::create_private_dir(path)?;
                Self::open(path)
            }
            opened => opened,
        }
    }

    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens one of its files for reading.
    ///
    /// # Errors
    /// `NotFound` if it is missing, `InvalidData` if it isn't a regular file of this user with a single name.
    pub(super) fn open_file(&self, name: &str) -> io::Result<File> {
        self.open_with(name, OpenOptions::new().read(true))
    }

    /// Opens one of its files, and creates it if it is missing.
    ///
    /// # Errors
    /// Those of [`Directory::open_file`].
    pub(super) fn open_or_create(&self, name: &str) -> io::Result<File> {
        self.open_with(name, OpenOptions::new().read(true).write(true).create(true).mode(0o600))
    }

    /// Creates one of its files with mode 0600.
    pub(super) fn create_file(&self, name: &str) -> io::Result<File> {
        self.open_with(name, OpenOptions::new().read(true).write(true).create_new(true).mode(0o600))
    }

    fn open_with(&self, name: &str, options: &mut OpenOptions) -> io::Result<File> {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = options.custom_flags(flags).open(self.path_of(name)).map_err(|error| {
            // A symlink, or a directory that is opened for writing.
            let is_foreign = matches!(error.raw_os_error(), Some(libc::ELOOP | libc::EISDIR | libc::ENXIO));
            if is_foreign { foreign() } else { error }
        })?;
        let meta = file.metadata()?;
        if meta.is_file() && is_ours(&meta) && meta.nlink() == 1 { Ok(file) } else { Err(foreign()) }
    }

    /// Returns whether `name` still names the open file.
    pub(super) fn is_at(&self, file: &File, name: &str) -> bool {
        let (opened, named) = (file.metadata(), fs::symlink_metadata(self.path_of(name)));
        opened.is_ok_and(|opened| named.is_ok_and(|named| disk::is_same(&opened, &named)))
    }

    /// Returns the content of a file of at most `limit` bytes.
    ///
    /// # Errors
    /// Those of [`Directory::open_file`]; `InvalidData` if it is larger.
    pub(super) fn read(&self, name: &str, limit: u64) -> io::Result<(Vec<u8>, Metadata)> {
        let file = self.open_file(name)?;
        let mut content = Vec::new();
        Read::take(&file, limit + 1).read_to_end(&mut content)?;
        if content.len() as u64 > limit {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large"));
        }
        Ok((content, file.metadata()?))
    }

    /// Replaces a file atomically, with mode 0600. After a crash or a loss of power it has the old content or the new.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let new = names::new();
        let mut file = self.create_file(&new)?;
        // Until it is locked, another process may take it for a dead one's and remove it, which fails the rename.
        let written = file
            .try_lock()
            .map_err(io::Error::from)
            .and_then(|()| file.write_all(content))
            .and_then(|()| file.sync_all());
        failpoint::reach("warm-written");
        let replaced = written.and_then(|()| fs::rename(self.path_of(&new), self.path_of(name)));
        if replaced.is_err() {
            self.remove(&new);
        }
        replaced?;
        // The new name must be on the disk before what the old content named is removed.
        File::open(&self.path)?.sync_all()
    }

    /// Removes a file if it is this user's. A symlink isn't followed, and a directory is removed only if it is empty.
    /// Returns the bytes that the file had, or `None` if it wasn't removed.
    pub(super) fn remove(&self, name: &str) -> Option<u64> {
        let path = self.path_of(name);
        let meta = fs::symlink_metadata(&path).ok().filter(is_ours)?;
        let removed = if meta.is_dir() { fs::remove_dir(&path) } else { fs::remove_file(&path) };
        match removed {
            Ok(()) => Some(if meta.is_file() { meta.len() } else { 0 }),
            Err(error) => {
                tracing::warn!(%error, name, "not removed from the store of warm starts");
                None
            }
        }
    }

    /// Returns the names of the store's files.
    pub(super) fn files(&self) -> io::Result<Vec<(Name, String)>> {
        let names = fs::read_dir(&self.path)?.take(MAX_FILES).flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.filter_map(|name| Some((Name::parse(&name)?, name))).collect())
    }

    /// Returns what is known about a file that is this user's.
    pub(super) fn metadata(&self, name: &str) -> Option<Metadata> {
        fs::symlink_metadata(self.path_of(name)).ok().filter(|meta| meta.is_file() && is_ours(meta))
    }
}

/// Parses the content of a file.
///
/// # Errors
/// `InvalidData`.
pub(super) fn parse<T: DeserializeOwned>(content: &[u8]) -> io::Result<T> {
    // One that was cut short would be `UnexpectedEof`.
    serde_json::from_slice(content).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn is_ours(meta: &Metadata) -> bool {
    meta.uid() == rustix::process::geteuid().as_raw()
}

fn foreign() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is not a private file of this user")
}
