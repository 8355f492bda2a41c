//! The error shown to users: what happened, why, and the command that fixes it.
//!
//! The whole program uses one type, because every failure ends the same way: a few lines on stderr and an exit code
//! from the published table. It also crosses the keeper's socket, so it holds text only. It must not contain secrets:
//! tokens are masked before they get here.

use std::{fmt, panic::PanicHookInfo};

use serde::{Deserialize, Serialize};

use super::{
    limits::Limit,
    ui::{log_line, one_line},
};

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// The help to run the same command again. What is printed is that command, and what follows the words as a comment.
pub(crate) const RETRY_HELP: &str = "run the same command again";

/// lclaude's own exit codes (after sysexits.h); every other code is Claude Code's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    /// The command line is invalid or asks for something lclaude can't do.
    Usage = 64,
    /// A configuration file, a variable, or the home or runtime directory is unusable.
    Config = 65,
    /// The backend is missing, failed to start, or was lost.
    Unavailable = 69,
    /// A bug in lclaude.
    Bug = 70,
    /// The backend was not ready in time.
    NotReady = 75,
    /// An administrator's policy or an untrusted project file forbids it.
    Refused = 77,
    /// Claude Code, or the program for `lclaude local run`, was not found.
    NoClaude = 127,
}

/// A failure, ready to print.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub code: Code,
    pub what: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The last lines of the backend's log, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub help: Vec<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Failure { code, what: what.into(), why: None, log_tail: Vec::new(), help: Vec::new() }
    }

    /// Returns the failure for a panic. A library that can't start a thread panics; the cause is then a limit of the system.
    pub(crate) fn panicked(panic: &PanicHookInfo<'_>) -> Self {
        // Place and text are on two lines.
        let bug = Failure::new(Code::Bug, "internal error")
            .cause(panic.to_string().replacen(":\n", ": ", 1))
            .help("report this as a bug, with the command that you ran");
        if bug.code == Code::Bug { bug } else { Failure { what: "lclaude cannot run".into(), ..bug } }
    }

    /// Sets the cause. If that is a limit of the system, only raising the limit helps, and it isn't a bug.
    pub(crate) fn cause(mut self, why: impl fmt::Display) -> Self {
        let why = why.to_string();
        let Some(limit) = Limit::of(&why) else {
            self.why = Some(why);
            return self;
        };
        if self.code == Code::Bug {
            self.code = Code::Unavailable;
        }
        self.help = vec![limit.help];
        self.why = Some(limit.cause);
        self
    }

    /// Adds a command or setting that fixes the failure; may be called more than once.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        if self.why.as_deref().and_then(Limit::of).is_none() {
            self.help.push(help.into());
        }
        self
    }

    /// Adds several of them.
    pub(crate) fn helps(self, helps: impl IntoIterator<Item = impl Into<String>>) -> Self {
        helps.into_iter().fold(self, Failure::help)
    }

    pub(crate) fn log_tail(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.log_tail.extend(lines);
        self
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.code as u8
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Each part may contain foreign text, whose line breaks must not imitate ours.
        write!(f, "lclaude: error: {}", one_line(&self.what))?;
        if let Some(why) = &self.why {
            write!(f, "\n cause: {}", one_line(why))?;
        }
        if !self.log_tail.is_empty() {
            write!(f, "\n   log:")?;
            // A line that only moves the cursor, as progress bars do, is empty now.
            for line in self.log_tail.iter().map(|line| log_line(line)).filter(|line| !line.is_empty()) {
                write!(f, "\n        {line}")?;
            }
        }
        for help in &self.help {
            write!(f, "\n  help: {}", one_line(help))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
