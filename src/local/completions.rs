//! `lclaude local completions`: what a shell needs to complete lclaude's command line, or to have `claude` mean lclaude.
//!
//! The scripts are those in `shell`, which also `shell/install.sh` installs; they are in the program for those who have
//! nothing but the program.

use clap::ValueEnum;

use crate::{error::Result, ui};

/// Completions for a shell, to be sourced: eval "$(lclaude local completions bash)"
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The shell that is to read it
    pub shell: Shell,
    /// Print what makes `claude` mean lclaude in projects with a .lclaude.toml, instead
    #[arg(long)]
    pub hook: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub fn run(arguments: Arguments) -> Result<u8> {
    ui::print(match (arguments.shell, arguments.hook) {
        (Shell::Bash, false) => include_str!("../../shell/completions/lclaude.bash"),
        (Shell::Zsh, false) => include_str!("../../shell/completions/_lclaude"),
        (Shell::Fish, false) => include_str!("../../shell/completions/lclaude.fish"),
        (Shell::Bash, true) => include_str!("../../shell/lclaude.bash"),
        (Shell::Zsh, true) => include_str!("../../shell/lclaude.zsh"),
        (Shell::Fish, true) => include_str!("../../shell/lclaude.fish"),
    });
    Ok(0)
}
