//! `lclaude local completions`: prints a shell completion script, or the hook that makes `claude` run lclaude.
//!
//! The scripts in `shell`, which `shell/install.sh` installs too, are embedded for users who have only the program.

use crate::{
    base::{error::Result, ui},
    cli::{CompletionsArguments, Shell},
};

pub(crate) fn run(arguments: CompletionsArguments) -> Result<u8> {
    ui::print_exact(match (arguments.shell, arguments.hook) {
        (Shell::Bash, false) => include_str!("../../shell/completions/lclaude.bash"),
        (Shell::Zsh, false) => include_str!("../../shell/completions/_lclaude"),
        (Shell::Fish, false) => include_str!("../../shell/completions/lclaude.fish"),
        (Shell::Bash, true) => include_str!("../../shell/lclaude.bash"),
        (Shell::Zsh, true) => include_str!("../../shell/lclaude.zsh"),
        (Shell::Fish, true) => include_str!("../../shell/lclaude.fish"),
    });
    Ok(0)
}
