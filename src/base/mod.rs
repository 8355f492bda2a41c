//! What every other room builds on: errors, terminal output, files, processes, ports, directories and signals.
//!
//! Nothing here may depend on the configuration, a backend or Claude Code.

pub mod check;
pub mod context;
pub mod disk;
pub mod environment;
pub mod error;
pub mod paths;
pub mod pattern;
pub mod port;
pub mod process;
pub mod scratch;
pub mod signals;
pub mod trace;
pub mod ui;
pub mod variables;
