//! Files as programs of other people may leave them, and as nobody may find them half written.
//!
//! What is read may be somebody else's to place: a pipe would be waited for, and a device never ends. Links are followed,
//! since many keep their own configuration elsewhere.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

/// What Claude Code itself remembers grows to some megabytes; nothing that is read whole is longer.
const LONGEST: u64 = 64 * 1024 * 1024;

/// Opens it for reading, if it is a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

/// All of it.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is over 64 MiB long"));
    }
    Ok(bytes)
}

/// All of it, as text.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

/// Makes a directory of ours, and those above it, as far as they are missing.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Writes a file in one step. It keeps its mode; a new one is nobody else's to read.
pub fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
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

/// Makes a file that is nobody else's from its first byte on.
///
/// # Errors
/// When it is there already, or cannot be written.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)
}
