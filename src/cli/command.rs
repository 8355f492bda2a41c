//! What a command line asks for, read once.

use std::ffi::OsString;

use super::{choice::Choice, verbs::Verb};

/// What is to be done.
#[derive(Debug)]
pub enum Command {
    Session(Session),
    /// A verb of `lclaude local`.
    Local(Verb),
    /// What can be typed after these words?
    Complete(Vec<OsString>),
    /// A text that was asked for, such as a verb's help.
    Explain(String),
    Keeper,
    Help,
    Version,
}

#[derive(Debug)]
pub struct Session {
    pub choice: Choice,
    pub lean: bool,
    pub throwaway: Option<bool>,
    pub keep: bool,
    pub dry_run: bool,
    /// Claude Code's, `--model` and `--settings` included.
    pub claude: Vec<OsString>,
}
