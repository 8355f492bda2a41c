//! `lclaude local setup`: installs a backend and Claude Code, downloads the model, writes the configuration, and
//! verifies the result. It skips what is already done, and asks before it installs, downloads or replaces anything.
//!
//! A step is first data that `--dry-run` prints, and is then carried out. No progress is stored: a later setup looks at
//! the machine again and continues from there.

mod configure;
mod error;
mod install;
mod model;
mod programs;
mod run;
mod step;
mod verify;
pub(crate) use run::run;
