//! Warm starts: a server doesn't read again what it has read in an earlier session.
//!
//! What was kept is found while the server loads its model (`find`), a snapshot is restored before the server is ready
//! (`restore`), and then the server is kept warm (`server`). Nothing here is ever an error for a session, and nothing can
//! change an answer: the server itself compares each prompt with what it has read.

mod find;
pub(super) mod request;
mod restore;
mod server;

pub(crate) use request::{ConversationKind, FirstRequest, WarmStart};
pub(crate) use restore::{ServerLost, Warm};
pub(crate) use server::{WarmServer, WarmTask};
