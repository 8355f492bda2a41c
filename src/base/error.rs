//! What can go wrong, as users meet it: what happened, why, and the command that mends it.
//!
//! One type for the whole program, because every failure ends the same way: three kinds of line on stderr and an exit
//! code from the published table. It crosses the keeper's socket too, so it holds text and nothing else. No secret may
//! be put into it: tokens are masked before they get here.

use std::fmt;

use serde::{Deserialize, Serialize};

pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// lclaude's own exit codes (after sysexits.h); every other code is Claude Code's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The command line cannot be understood or cannot be served.
    Usage = 64,
    /// A configuration file, variable or the surroundings (home directory, runtime directory) are at fault.
    Config = 65,
    /// The backend is missing, failed to start, or was lost.
    Unavailable = 69,
    /// A bug in lclaude.
    Bug = 70,
    /// The backend was not ready in time.
    NotReady = 75,
    /// Refused: an administrator's policy or an untrusted project file forbids it.
    Refused = 77,
    /// No Claude Code was found, or no such program for `lclaude local run`.
    NoClaude = 127,
}

/// A failure, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub code: Code,
    pub what: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The last lines of the backend's log, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub help: Vec<String>,
    /// A model whose download would mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Box<str>>,
}

impl Failure {
    pub fn new(code: Code, what: impl Into<String>) -> Self {
        Failure { code, what: what.into(), why: None, log_tail: Vec::new(), help: Vec::new(), missing: None }
    }

    pub fn why(mut self, why: impl fmt::Display) -> Self {
        self.why = Some(why.to_string());
        self
    }

    /// A command or setting that mends it; may be called more than once.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    pub fn log_tail(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.log_tail.extend(lines);
        self
    }

    pub fn exit_code(&self) -> u8 {
        self.code as u8
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lclaude: {}", self.what)?;
        if let Some(why) = &self.why {
            write!(f, "\n   why: {why}")?;
        }
        if !self.log_tail.is_empty() {
            write!(f, "\n   log:")?;
            for line in &self.log_tail {
                write!(f, "\n        {line}")?;
            }
        }
        for help in &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
