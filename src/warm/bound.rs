//! How much the store may hold.

use std::io;

use rustix::fs::statvfs;

use super::{directory::Directory, key::Key, names::Name, snapshot};

/// The part of the free space that the store takes at most, its own files counted as free.
const PART_OF_FREE: u64 = 20;

/// What the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    pub records: usize,
    pub record_bytes: u64,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Bytes that it may hold.
    pub limit: u64,
}

/// Returns the bytes of all files in the directory, and the bytes that they may have: `max_size`, or 5% of the free space
/// if that is less.
pub(super) fn usage(directory: &Directory, max_size: u64) -> io::Result<Usage> {
    let mut usage = Usage { records: 0, record_bytes: 0, bytes: 0, limit: 0 };
    for (kind, name) in directory.files()? {
        let bytes = directory.metadata(&name).map_or(0, |meta| meta.len());
        usage.bytes = usage.bytes.saturating_add(bytes);
        if matches!(kind, Name::Record { .. }) {
            usage.records += 1;
            usage.record_bytes += bytes;
        }
    }
    let disk = statvfs(directory.path())?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    usage.limit = max_size.min(free.saturating_add(usage.bytes) / PART_OF_FREE);
    Ok(usage)
}

/// Removes the least recently used snapshots until `more` bytes fit, that of `last` only if nothing else is left. If they
/// can't fit, removes only what is over the limit already. Returns whether they fit.
pub(super) fn make_room(directory: &Directory, max_size: u64, more: u64, last: &Key) -> io::Result<bool> {
    let Usage { mut bytes, limit, .. } = usage(directory, max_size)?;
    let target = limit.checked_sub(more);
    let mut snapshots = snapshot::list(directory)?;
    snapshots.sort_by_key(|entry| entry.key == *last);
    for entry in snapshots {
        if bytes <= target.unwrap_or(limit) {
            break;
        }
        if let Some(removed) = snapshot::remove_unused(directory, &entry.key) {
            tracing::info!(key = %entry.key, removed, "snapshot removed to make room");
            bytes = bytes.saturating_sub(removed);
        }
    }
    Ok(target.is_some_and(|target| bytes <= target))
}
