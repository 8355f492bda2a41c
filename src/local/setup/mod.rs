//! `lclaude local setup`: the backend, its model and the configuration, each only as far as it is missing.
//!
//! Each step is first data, made of what is found, which `--dry-run` prints; here they are carried out, in order. What is
//! done is never written down: a later setup finds it, and goes on from there.

mod configure;
mod model;
mod programs;
mod run;
mod step;
mod verify;
pub use run::run;
