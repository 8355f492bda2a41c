//! The store of warm starts: what earlier sessions' prompts began with (records), and a server's cache of such a
//! beginning (snapshots), as files in a private directory.
//!
//! Only files: nothing here talks to a server, and nothing may depend on a backend. Every function blocks. A store that
//! can't be used is never an error of a session: its answer is then `None` or `false`, and the debug log says why.

mod bound;
mod checksum;
mod directory;
mod key;
mod names;
mod pending;
mod prefix;
mod records;
mod saving;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use bound::Usage;
pub(crate) use key::Key;
pub(crate) use pending::PendingSnapshot;
pub(crate) use prefix::Prefix;
pub(crate) use snapshot::{Entry, SnapshotFile, SnapshotInfo};
pub(crate) use store::Store;
