//! What every other room builds on: errors, the exit, terminal output, files, processes, ports, directories and signals.
//!
//! Nothing here may depend on the configuration, a backend or Claude Code.

pub(crate) mod check;
pub(crate) mod commands;
pub(crate) mod context;
pub(crate) mod descriptor;
pub(crate) mod disk;
pub(crate) mod environment;
pub(crate) mod error;
pub(crate) mod exit;
pub(crate) mod failpoint;
pub(crate) mod fingerprint;
pub(crate) mod installation;
pub(crate) mod limits;
pub(crate) mod output;
pub(crate) mod pager;
pub(crate) mod paths;
pub(crate) mod pattern;
pub(crate) mod port;
pub(crate) mod process;
pub(crate) mod programs;
pub(crate) mod progress;
pub(crate) mod question;
pub(crate) mod scratch;
pub(crate) mod signals;
pub(crate) mod size;
pub(crate) mod socket;
pub(crate) mod spawn;
pub(crate) mod text;
pub(crate) mod trace;
pub(crate) mod ui;
pub(crate) mod variables;
pub(crate) mod wait;
pub(crate) mod watch;
pub(crate) mod windows;
pub(crate) mod wsl;
