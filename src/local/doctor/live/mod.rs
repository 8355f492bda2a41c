//! `--live`: the chosen backend is started as for a session, and the wiring proven with requests like Claude Code's and
//! with one turn of Claude Code itself. What was found is kept as a verdict.

pub mod proofs;
mod prove;
pub mod requests;
mod stream;
pub mod turn;

pub use prove::lost;
pub use prove::{check, last, not_tried};
