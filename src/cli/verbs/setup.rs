//! The options of `setup`, `doctor` and `models`.

use crate::cli::choice::Selection;

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
  lclaude local doctor --privacy
  lclaude local doctor --backend ollama --json")]
pub(crate) struct DoctorArguments {
    #[command(flatten)]
    pub choice: Selection,
    /// Start the backend and test it with real requests
    #[arg(long)]
    pub live: bool,
    /// Show where requests go, what is switched off and what stays on disk, and how to check it
    #[arg(long, conflicts_with = "live")]
    pub privacy: bool,
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
