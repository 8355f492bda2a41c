//! The options of the verbs for shells: `completions` and `man`, and of `help`.

use std::ffi::OsString;

use clap::ValueEnum;

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

/// Show this help, or that of a command
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lclaude local help
  lclaude local help setup")]
pub(crate) struct HelpArguments {
    /// Show the help of this command
    #[arg(value_name = "COMMAND")]
    pub verb: Option<OsString>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}
