//! `lclaude local status`: the backends that are up, and who holds them.
//!
//! It only looks: it takes no lease, wakes nobody and makes no file.

mod json;
mod run;
mod seen;
mod text;
mod watch;
pub use run::run;
