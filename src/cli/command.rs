//! A parsed command line.

use std::ffi::OsString;

use super::{choice::Choice, verbs::Verb};

/// What a command line asks lclaude to do.
#[derive(Debug)]
pub enum Invocation {
    Session(SessionArguments),
    /// A verb of `lclaude local`.
    Local(Verb),
    /// Complete the last of these words.
    Complete(Vec<OsString>),
    /// Print a text, such as a verb's help.
    Print(String),
    Keeper,
    Help,
    Version,
}

#[derive(Debug)]
pub struct SessionArguments {
    pub choice: Choice,
    pub lean: bool,
    pub throwaway: Option<bool>,
    pub keep: bool,
    pub dry_run: bool,
    /// Claude Code's arguments, including `--model` and `--settings`.
    pub claude: Vec<OsString>,
}
