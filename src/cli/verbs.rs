//! The verbs of `lclaude local` and their options, as they can be typed. What each one does is in `local`.

use std::{ffi::OsString, path::PathBuf};

use clap::{Parser, Subcommand, ValueEnum};

use super::choice::Selection;

/// What lclaude can do beside running Claude Code.
#[derive(Debug, Parser)]
#[command(name = "lclaude local", disable_help_subcommand = true)]
pub struct Verbs {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    Setup(Setup),
    Doctor(Doctor),
    Models(Models),
    Status(Status),
    Stop(Stop),
    Logs(Logs),
    Init(Init),
    Trust(Trust),
    Untrust(Untrust),
    Env(Env),
    Run(Run),
    Serve(Serve),
    Completions(Completions),
    Man(Man),
}

/// From nothing to a working local Claude Code, step by step
#[derive(Debug, clap::Args)]
pub struct Setup {
    #[command(flatten)]
    pub choice: Selection,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Why it does not work: every check, and what mends it
#[derive(Debug, clap::Args)]
pub struct Doctor {
    #[command(flatten)]
    pub choice: Selection,
    /// Start the backend and prove the wiring with requests
    #[arg(long)]
    pub live: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Every backend's models, and which fit
#[derive(Debug, clap::Args)]
pub struct Models {
    #[command(flatten)]
    pub choice: Selection,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The backends that are up, and who uses them
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Show it live, until q or Ctrl-C
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// End a backend that is up
///
/// Without anything else the only one there is. Asks before it ends one that sessions use.
#[derive(Debug, clap::Args)]
pub struct Stop {
    #[command(flatten)]
    pub which: Which,
    /// All of them
    #[arg(long, conflicts_with_all = ["id", "backend", "profile", "context", "config", "model"])]
    pub all: bool,
}

/// A backend's log
///
/// Without anything else that of the backend that was last up.
#[derive(Debug, clap::Args)]
pub struct Logs {
    #[command(flatten)]
    pub which: Which,
    /// Go on as it grows, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
}

/// Write a .lclaude.toml for this project
#[derive(Debug, clap::Args)]
pub struct Init {
    #[command(flatten)]
    pub choice: Selection,
    /// A small tool set and prompt
    #[arg(long)]
    pub lean: bool,
    /// Sessions that leave nothing of theirs
    #[arg(long)]
    pub throwaway: bool,
}

/// Allow a project file what needs your word
#[derive(Debug, clap::Args)]
pub struct Trust {
    /// The file, or a directory of its project [default: where you are]
    #[arg(conflicts_with = "list")]
    pub file: Option<PathBuf>,
    /// List what is trusted
    #[arg(long)]
    pub list: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// Take back what trust allowed
#[derive(Debug, clap::Args)]
pub struct Untrust {
    /// The file, or its directory [default: where you are]
    pub file: Option<PathBuf>,
}

/// The variables of a backend that is up, for other programs
///
/// For the backend that a session would have here: eval "$(lclaude local env)" in bash and zsh,
/// lclaude local env --format fish | source in fish. The key of the backend is among them.
#[derive(Debug, clap::Args)]
pub struct Env {
    #[command(flatten)]
    pub choice: Selection,
    /// How they are written down; bash is zsh's and sh's too
    #[arg(long, value_enum, default_value = "bash")]
    pub format: Format,
}

/// Run any program in the environment of a session
///
/// The program speaks to the backend, or starts something that does: a script with the Agent SDK, an editor's agent,
/// claude itself. It ends as it would without lclaude, with its own exit code; 127 if it cannot be started.
#[derive(Debug, clap::Args)]
#[command(override_usage = "lclaude local run [OPTIONS] -- PROGRAM [ARGUMENTS...]")]
pub struct Run {
    #[command(flatten)]
    pub choice: Selection,
    /// Start nothing; print what would be
    #[arg(long)]
    pub dry_run: bool,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, value_name = "PROGRAM")]
    pub command: Vec<OsString>,
}

/// Keep the backend up, and print the environment to use
///
/// For programs that are started elsewhere, such as an editor's agent. Prints the environment once the backend answers,
/// and keeps the backend up until Ctrl-C (exit code 130), or until it is lost for good (69).
#[derive(Debug, clap::Args)]
pub struct Serve {
    #[command(flatten)]
    pub choice: Selection,
    /// Print one JSON object: url, token, models, context, env, removed
    #[arg(long)]
    pub json: bool,
}

/// Completions for a shell, to be sourced: eval "$(lclaude local completions bash)"
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell that is to read it
    pub shell: Shell,
    /// Print what makes `claude` mean lclaude in projects with a .lclaude.toml, instead
    #[arg(long)]
    pub hook: bool,
}

/// The manual page, to be read with: lclaude local man | man -l -
#[derive(Debug, clap::Args)]
pub struct Man {}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// How variables are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    #[value(aliases = ["zsh", "sh"])]
    Bash,
    Fish,
    Json,
    Dotenv,
}

/// What a verb that is about backends can be told.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Which {
    /// Its id, or the beginning of it, as `lclaude local status` shows it
    #[arg(value_name = "ID", conflicts_with_all = ["backend", "profile", "context", "config", "model"])]
    pub id: Option<String>,
    #[command(flatten)]
    pub choice: Selection,
}
