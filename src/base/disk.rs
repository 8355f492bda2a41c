//! Reading files that others may have placed, and writing files that are never seen half written.
//!
//! Reads accept regular files only, because a pipe can block and a device never ends. Symlinks are followed, since many
//! users keep their configuration elsewhere.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

/// The first size of a buffer, in bytes. Files in /proc and /sys report no size, and many small reads take longer.
const BUFFER: usize = 4096;
/// The largest file that is read whole. Claude Code's own state grows to some megabytes.
const MAX_SIZE: u64 = 64 * 1024 * 1024;

/// Opens a regular file for reading.
///
/// # Errors
/// `InvalidInput` when it isn't a regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

/// Returns the whole content of a file.
///
/// # Errors
/// `InvalidData` when it is larger than 64 MiB.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(BUFFER);
    open(path)?.take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than 64 MiB"));
    }
    Ok(bytes)
}

/// Returns the whole content of a UTF-8 file.
pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

/// Returns whether both describe the same file, under whatever names.
pub(crate) fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Returns options with which a new file is private: mode 0600.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Returns options with which a new directory is private: mode 0700.
pub(crate) fn private_dir() -> fs::DirBuilder {
    let mut options = fs::DirBuilder::new();
    options.mode(0o700);
    options
}

/// Creates a directory and its missing parents, with mode 0700.
pub(crate) fn create_private_dir(dir: &Path) -> io::Result<()> {
    private_dir().recursive(true).create(dir)
}

/// Replaces a file atomically. An existing file keeps its mode; a new one is private.
pub(crate) fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    let directory = file.parent().ok_or(io::ErrorKind::NotFound)?;
    let mut written = tempfile::Builder::new().prefix(".lclaude-").tempfile_in(directory)?;
    written.write_all(content)?;
    if let Ok(meta) = fs::metadata(file) {
        written.as_file().set_permissions(meta.permissions())?;
    }
    written.as_file().sync_all()?;
    written.persist(file)?;
    Ok(())
}

/// Creates a file with mode 0600 and writes `content` to it.
///
/// # Errors
/// `AlreadyExists` when the file exists; any other error when it can't be written.
pub(crate) fn create_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = private().write(true).create_new(true).open(path)?;
    file.write_all(content)
}
