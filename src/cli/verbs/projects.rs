//! The options of the verbs for projects: `init`, `trust` and `untrust`.

use std::path::PathBuf;

use crate::cli::choice::Selection;

/// Create a .lclaude.toml for this project
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lclaude local init
  lclaude local init --backend ollama --model qwen3-coder:30b
  lclaude local init --url https://models.example.net --model qwen3-coder
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
