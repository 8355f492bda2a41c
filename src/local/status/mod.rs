//! `lclaude local status`: lists the running backends, the servers of others that sessions use, and the sessions.
//!
//! It is read-only: it takes no lease, starts nothing and creates no file.

mod json;
mod run;
mod seen;
mod text;
mod watch;
pub(crate) use run::run;
