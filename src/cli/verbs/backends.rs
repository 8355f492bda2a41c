//! The options of the verbs for running backends: `status`, `stop`, `logs` and `cache`.

use crate::cli::choice::Selection;

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
    #[arg(long, conflicts_with_all = ["id", "backend", "url", "profile", "context", "config", "model"])]
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
#[command(after_help = "\
Examples:
  lclaude local cache
  lclaude local cache --json
  lclaude local cache --clear --yes    # remove everything, without asking")]
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

/// The backend that a verb acts on, selected by ID or by the options of a session.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct TargetArguments {
    /// Select the backend whose ID starts with this; `lclaude local status` shows IDs
    #[arg(value_name = "ID", conflicts_with_all = ["backend", "url", "profile", "context", "config", "model"])]
    pub id: Option<String>,
    #[command(flatten)]
    pub choice: Selection,
}
