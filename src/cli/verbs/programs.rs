//! The options of the verbs for other programs: `env`, `run`, `serve` and `line`.

use std::{ffi::OsString, path::PathBuf};

use clap::ValueEnum;

use crate::cli::choice::Selection;

/// Print the environment variables of a running backend
///
/// Selects the backend that a session here would use, and starts nothing. The output contains
/// the backend's key.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eval \"$(lclaude local env)\"                  # in bash and zsh
  lclaude local env --format fish | source     # in fish
  lclaude local env --format dotenv > .env")]
pub(crate) struct EnvArguments {
    #[command(flatten)]
    pub choice: Selection,
    /// Use this output format; bash also works in zsh and sh
    #[arg(long, value_enum, default_value = "bash")]
    pub format: Format,
}

/// Run a program with the environment of a session
///
/// The program uses the backend itself or starts something that does, such as an Agent SDK
/// script, an editor's agent or claude. The exit code is the program's own, or 127 if it can't
/// be started.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "lclaude local run [OPTIONS] -- PROGRAM [ARGUMENTS...]",
    after_help = "\
Examples:
  lclaude local run -- node agent.mjs
  lclaude local run --model qwen3-coder:30b -- python3 agent.py
  lclaude local run --backend ollama -- ollama list
  lclaude local run --dry-run -- claude -p hello"
)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub choice: Selection,
    /// Show what would run, without starting anything
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object, with --dry-run
    #[arg(long, requires = "dry_run")]
    pub json: bool,
    /// Run this program with these arguments
    #[arg(trailing_var_arg = true, value_name = "PROGRAM")]
    pub command: Vec<OsString>,
}

/// Keep a backend running for programs started elsewhere
///
/// Prints the environment variables once the backend is ready, and keeps it running until
/// Ctrl-C (exit code 130) or until it can't be restarted (exit code 69).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lclaude local serve
  lclaude local serve --backend llamacpp --model ~/models/qwen3-coder.gguf
  lclaude local serve --json")]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    pub choice: Selection,
    /// Print one JSON object: url, token, models, context, env, removed
    #[arg(long)]
    pub json: bool,
}

/// Print a session's status line
///
/// Claude Code runs this every second in sessions that lclaude starts. `[claude] status_line =
/// false` turns it off.
#[derive(Debug, clap::Args)]
pub(crate) struct LineArguments {
    /// Read what the session wrote here
    pub file: PathBuf,
}

/// How variables are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[value(aliases = ["zsh", "sh"])]
    Bash,
    Fish,
    Json,
    Dotenv,
}
