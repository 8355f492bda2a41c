//! `lclaude local doctor --live`: tests the running backend as Claude Code uses it.
//!
//! It may start the chosen backend, as a session does, and it may download a model only with `--yes`. Nothing of the
//! user's Claude Code configuration is read or written. `lclaude local setup` uses the same tests.

pub mod probes;
pub mod requests;
mod run;
mod stream;
pub mod turn;

pub use run::lost;
pub use run::{check, last_result, skipped};
