//! The options of `lclaude` and their help.

use std::ffi::OsString;

use clap::{CommandFactory, Parser, ValueHint};

use super::choice::{Choice, HEADING};
use crate::config::ToolSet;

/// Run Claude Code on a local model
///
/// lclaude starts your inference server on a free port, waits until it is ready, points this one Claude Code process
/// at it, and stops the server when you exit.
#[derive(Debug, Parser)]
#[command(
    name = "lclaude",
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true,
    override_usage = "lclaude [LCLAUDE OPTIONS] [CLAUDE ARGUMENTS...]\n       lclaude local COMMAND [OPTIONS]",
    after_help = AFTER_HELP
)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub choice: Choice,
    /// Use six tools and a short prompt: --toolset lean
    #[arg(long, help_heading = SESSION)]
    pub lean: bool,
    /// Give Claude Code these tools: local, all or lean
    #[arg(long, value_name = "SET", help_heading = SESSION, value_parser = parse_tool_set, conflicts_with = "lean")]
    pub toolset: Option<ToolSet>,
    /// Use an empty home that is removed afterwards
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        hide_possible_values = true, help_heading = SESSION
    )]
    pub throwaway: Option<bool>,
    /// Keep a throwaway session's home, and print where it is
    #[arg(long, help_heading = SESSION)]
    pub keep: bool,
    /// Show what would run, without starting anything
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object, with --dry-run
    #[arg(long)]
    pub json: bool,
    /// Use this model: a name or a .gguf file
    #[arg(long, value_name = "NAME", help_heading = HEADING, display_order = 0)]
    pub model: Vec<OsString>,
    /// Merge these settings of Claude Code with lclaude's
    #[arg(long, value_name = "SETTINGS", value_hint = ValueHint::FilePath, help_heading = SESSION)]
    pub settings: Option<OsString>,
    /// Show a short help
    #[arg(short = 'h')]
    pub short_help: bool,
    /// Show all options, and Claude Code's
    #[arg(long)]
    pub help: bool,
    /// Show the versions of lclaude and Claude Code
    #[arg(long, short = 'v')]
    pub version: bool,
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub claude: Vec<OsString>,
}

const SESSION: &str = "Session";

const AFTER_HELP: &str = "\
All other arguments are passed to Claude Code.

Examples:
  lclaude                               # use the default backend and model
  lclaude --model qwen3-coder:30b       # use another model
  lclaude -c                            # continue the last conversation
  lclaude -p \"explain src/main.rs\"      # print an answer and exit
  lclaude --backend llamacpp --model ~/models/qwen3-coder.gguf
  lclaude --url http://localhost:8000   # use a server that is already running
  lclaude --dry-run                     # show what would run

Environment variables:
  LCLAUDE_BACKEND, LCLAUDE_MODEL, LCLAUDE_PROFILE, LCLAUDE_CONTEXT, LCLAUDE_URL,
  LCLAUDE_LOG

Exit codes:
  Claude Code's own, or 128+N if signal N ended it. lclaude's own:
  64   usage
  65   configuration
  69   backend missing, failed or lost
  70   bug in lclaude
  75   not ready in time
  77   refused
  127  Claude Code not found

Other commands: lclaude local --help";

/// The options that the short help shows.
const COMMON_OPTIONS: &[&str] =
    &["backend", "model", "url", "context", "throwaway", "dry_run", "yes", "help", "version"];

const AFTER_SHORT_HELP: &str = "\
Examples:
  lclaude --model qwen3-coder:30b       # use another model
  lclaude -c                            # continue the last conversation
  lclaude local setup                   # set up a backend and a model
  lclaude local doctor                  # find out why something doesn't work

All other arguments are passed to Claude Code. More: lclaude --help";

/// Parses the name of a tool set, for clap.
fn parse_tool_set(name: &str) -> Result<ToolSet, String> {
    let found = ToolSet::ALL.into_iter().find(|(known, _)| *known == name);
    found
        .map(|(_, set)| set)
        .ok_or_else(|| format!("expected one of {}", ToolSet::ALL.map(|(known, _)| known).join(", ")))
}

/// Returns the text of `--help`.
pub(crate) fn help() -> String {
    let command = command();
    // clap's own long help puts every option on two lines.
    let about = command.get_long_about().cloned().unwrap_or_default();
    command.about(about).render_help().to_string()
}

/// Returns the text of `-h`, which fits a screen of 24 lines and 80 columns.
pub(super) fn short_help() -> String {
    let is_common = |option: &clap::Arg| COMMON_OPTIONS.contains(&option.get_id().as_str());
    let command = command().long_about(None).after_help(AFTER_SHORT_HELP);
    let command = command.mut_args(|option| match is_common(&option) {
        true => option.help_heading(None::<&str>),
        false => option.hide(true),
    });
    command.clone().render_help().to_string()
}

/// Returns lclaude's options, for completions and the manual page.
pub(crate) fn command() -> clap::Command {
    Arguments::command()
}
