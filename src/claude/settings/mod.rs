//! Claude Code's settings: the files it reads, and the `--settings` overlay that lclaude passes.
//!
//! Settings files are only read here, never written.

mod kinds;
pub(crate) mod managed;
pub(crate) mod models;
pub(crate) mod overlay;
pub(crate) mod status_line;
