//! A parsed command line.

use std::{ffi::OsString, path::PathBuf};

use super::{choice::Choice, verbs::Verb};
use crate::config::ToolSet;

/// What a command line asks lclaude to do.
#[derive(Debug)]
pub(crate) enum Invocation {
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
pub(crate) struct SessionArguments {
    /// The words before Claude Code's arguments.
    pub own: Vec<OsString>,
    /// Whether Claude Code's arguments are passed on without checks: they come after `--`, or from an editor.
    pub is_raw: bool,
    pub choice: Choice,
    pub lean: bool,
    pub toolset: Option<ToolSet>,
    pub throwaway: Option<bool>,
    pub keep: bool,
    pub dry_run: bool,
    /// Whether to print the dry run as JSON.
    pub json: bool,
    /// The values of `--model` among lclaude's own options, in order.
    pub models: Vec<OsString>,
    /// The value of `--settings` among lclaude's own options.
    pub settings: Option<OsString>,
    /// The program in front of Claude Code's arguments, from an editor that runs lclaude as its process wrapper.
    pub program: Option<PathBuf>,
    /// Claude Code's other arguments.
    pub claude: Vec<OsString>,
}

impl SessionArguments {
    /// Returns all of Claude Code's arguments, for a command that is passed on unchanged.
    pub(crate) fn claude_arguments(&self) -> Vec<OsString> {
        let models = self.models.iter().map(|model| ("--model", model));
        let settings = self.settings.iter().map(|settings| ("--settings", settings));
        let own = models.chain(settings).flat_map(|(option, value)| [OsString::from(option), value.clone()]);
        own.chain(self.claude.iter().cloned()).collect()
    }
}
