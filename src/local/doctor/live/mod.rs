//! `lclaude local doctor --live`: tests the running backend as Claude Code uses it.
//!
//! It may start the chosen backend, as a session does, and it may download a model only with `--yes`. Nothing of the
//! user's Claude Code configuration is read or written. `lclaude local setup` uses the same tests.

pub(crate) mod probes;
pub(crate) mod requests;
mod run;
mod stream;
pub(crate) mod turn;

pub(crate) use run::lost;
pub(crate) use run::{check, last_result, skipped};
