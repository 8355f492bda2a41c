//! The verbs of `lclaude local`, their options and their help.

use std::{ffi::OsString, fmt::Write, path::PathBuf};

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use super::choice::Selection;

/// Set up, inspect and stop local backends
#[derive(Debug, Parser)]
#[command(name = "lclaude local", disable_help_subcommand = true, after_help = AFTER_HELP)]
pub(crate) struct Verbs {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Setup(SetupArguments),
    Doctor(DoctorArguments),
    Models(ModelsArguments),
    Status(StatusArguments),
    Stop(StopArguments),
    Logs(LogsArguments),
    Cache(CacheArguments),
    Init(InitArguments),
    Trust(TrustArguments),
    Untrust(UntrustArguments),
    Env(EnvArguments),
    Run(RunArguments),
    Serve(ServeArguments),
    Line(LineArguments),
    Completions(CompletionsArguments),
    Man(ManArguments),
}

const AFTER_HELP: &str = "\
Examples:
  lclaude local setup              # install and configure what is missing
  lclaude local doctor --live      # find out why something doesn't work
  lclaude local models             # see which models fit in memory
  lclaude local stop --all         # stop all backends
  eval \"$(lclaude local env)\"      # point other programs at a running backend

Help for one command: `lclaude local COMMAND --help`";

/// The verbs by topic, in the order of the help.
const GROUPS: &[(&str, &[&str])] = &[
    ("Getting started", &["setup", "doctor", "models"]),
    ("Running backends", &["status", "stop", "logs", "cache"]),
    ("Projects", &["init", "trust", "untrust"]),
    ("Other programs", &["env", "run", "serve", "line"]),
    ("Shell", &["completions", "man"]),
];

/// Returns the verbs as a command whose help groups them.
pub(crate) fn grouped_command() -> clap::Command {
    let mut command = Verbs::command();
    let mut groups = String::new();
    for (title, verbs) in GROUPS {
        writeln!(groups, "{title}:").expect("a String takes any text");
        for verb in verbs.iter().filter_map(|verb| command.find_subcommand(verb)) {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            writeln!(groups, "  {:<12} {about}", verb.get_name()).expect("a String takes any text");
        }
        groups.push('\n');
    }
    for verb in GROUPS.iter().flat_map(|(_, verbs)| *verbs) {
        command = command.mut_subcommand(verb, |verb| match verb.get_long_about().cloned() {
            // clap's own long help puts every option on two lines.
            Some(about) => verb.about(about).long_about(None),
            None => verb,
        });
    }
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}Options:\n{{options}}{{after-help}}"
    ))
}

/// Set up a backend, a model and the configuration, step by step
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lclaude local setup
  lclaude local setup --dry-run
  lclaude local setup --backend llamacpp --model ~/models/qwen3-coder.gguf")]
pub(crate) struct SetupArguments {
    #[command(flatten)]
    pub choice: Selection,
    /// Show the steps without running them
    #[arg(long)]
    pub dry_run: bool,
}

/// Diagnose problems and suggest fixes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lclaude local doctor
  lclaude local doctor --live
  lclaude local doctor --backend ollama --json")]
pub(crate) struct DoctorArguments {
    #[command(flatten)]
    pub choice: Selection,
    /// Start the backend and test it with real requests
    #[arg(long)]
    pub live: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// List the models of each backend and whether they fit in memory
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lclaude local models
  lclaude local models --backend ollama
  lclaude local models --context 131072 --json")]
pub(crate) struct ModelsArguments {
    #[command(flatten)]
    pub choice: Selection,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Show running backends and their sessions
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lclaude local status
  lclaude local status --watch
  lclaude local status --json")]
pub(crate) struct StatusArguments {
    /// Keep the display up to date until q or Ctrl-C
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Stop a running backend
///
/// Without arguments, stops the only running backend. Asks first if sessions are using it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lclaude local stop
  lclaude local stop 3f2a              # the backend whose ID starts with 3f2a
  lclaude local stop --model qwen3-coder:30b
  lclaude local stop --all --yes       # all backends, without asking")]
pub(crate) struct StopArguments {
    #[command(flatten)]
    pub which: TargetArguments,
    /// Stop all backends
    #[arg(long, conflicts_with_all = ["id", "backend", "profile", "context", "config", "model"])]
    pub all: bool,
}

/// Show a backend's log
///
/// Without arguments, shows the log that was written last.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lclaude local logs
  lclaude local logs --follow
  lclaude local logs 3f2a              # the backend whose ID starts with 3f2a")]
pub(crate) struct LogsArguments {
    #[command(flatten)]
    pub which: TargetArguments,
    /// Keep printing new lines until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
}

/// List or clear what is kept to start sessions faster
///
/// Lists the snapshots of prompt caches: how many tokens each saves, and for which model and
/// project. They contain Claude Code's tools and instructions, the descriptions of your agents,
/// skills and MCP tools, and the path of the project, but nothing of a conversation.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  lclaude local cache
  lclaude local cache --json
  lclaude local cache --clear --yes    # remove everything, without asking"
)]
pub(crate) struct CacheArguments {
    /// Remove everything that isn't in use
    #[arg(long)]
    pub clear: bool,
    /// Remove it without asking
    #[arg(long, requires = "clear")]
    pub yes: bool,
    /// Print one JSON object
    #[arg(long, conflicts_with = "clear")]
    pub json: bool,
}

/// Create a .lclaude.toml for this project
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lclaude local init
  lclaude local init --backend ollama --model qwen3-coder:30b
  lclaude local init --lean --context 32768")]
pub(crate) struct InitArguments {
    #[command(flatten)]
    pub choice: Selection,
    /// Use fewer tools and a shorter prompt in this project
    #[arg(long)]
    pub lean: bool,
    /// Use an empty temporary home for each session in this project
    #[arg(long)]
    pub throwaway: bool,
}

/// Trust this project's .lclaude.toml
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lclaude local trust
  lclaude local trust ~/src/project
  lclaude local trust --list")]
pub(crate) struct TrustArguments {
    /// Trust this file, or the one of the project in this directory [default: the current directory]
    #[arg(conflicts_with = "list")]
    pub file: Option<PathBuf>,
    /// List the trusted files
    #[arg(long)]
    pub list: bool,
    /// Trust the file without asking
    #[arg(long)]
    pub yes: bool,
}

/// Revoke trust in this project's .lclaude.toml
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lclaude local untrust
  lclaude local untrust ~/src/project
  lclaude local untrust ~/src/deleted/.lclaude.toml")]
pub(crate) struct UntrustArguments {
    /// Revoke trust in this file, or in the one in this directory [default: the current directory]
    pub file: Option<PathBuf>,
}

/// Print the environment variables of a running backend
///
/// Selects the backend that a session here would use, and starts nothing. The output contains
/// the backend's key.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  eval \"$(lclaude local env)\"                  # in bash and zsh
  lclaude local env --format fish | source     # in fish
  lclaude local env --format dotenv > .env"
)]
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
    verbatim_doc_comment,
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
    /// Run this program with these arguments
    #[arg(trailing_var_arg = true, value_name = "PROGRAM")]
    pub command: Vec<OsString>,
}

/// Keep a backend running for programs started elsewhere
///
/// Prints the environment variables once the backend is ready, and keeps it running until
/// Ctrl-C (exit code 130) or until it can't be restarted (exit code 69).
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  lclaude local serve
  lclaude local serve --backend llamacpp --model ~/models/qwen3-coder.gguf
  lclaude local serve --json"
)]
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
#[command(verbatim_doc_comment)]
pub(crate) struct LineArguments {
    /// Read what the session wrote here
    pub file: PathBuf,
}

/// Print a shell completion script
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eval \"$(lclaude local completions bash)\"           # in ~/.bashrc
  eval \"$(lclaude local completions zsh)\"            # in ~/.zshrc
  lclaude local completions fish | source            # in ~/.config/fish/config.fish
  eval \"$(lclaude local completions bash --hook)\"    # the hook for claude")]
pub(crate) struct CompletionsArguments {
    /// Print the script for this shell
    pub shell: Shell,
    /// Print the hook that makes claude run lclaude in projects with a .lclaude.toml
    #[arg(long)]
    pub hook: bool,
}

/// Print the manual page
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lclaude local man | man -l -
  lclaude local man > ~/.local/share/man/man1/lclaude.1")]
pub(crate) struct ManArguments {}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// How variables are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    #[value(aliases = ["zsh", "sh"])]
    Bash,
    Fish,
    Json,
    Dotenv,
}

/// The backend that a verb acts on, selected by ID or by the options of a session.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct TargetArguments {
    /// Select the backend whose ID starts with this; `lclaude local status` shows IDs
    #[arg(value_name = "ID", conflicts_with_all = ["backend", "profile", "context", "config", "model"])]
    pub id: Option<String>,
    #[command(flatten)]
    pub choice: Selection,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_groups_list_every_verb_once_in_order() {
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        let command = Verbs::command();
        let verbs: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(grouped, verbs);
    }
}
