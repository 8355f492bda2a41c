//! `lclaude local completions`: what a shell needs to complete lclaude's command line, or to have `claude` mean lclaude.
//!
//! The scripts are those in `shell`, which also `shell/install.sh` installs; they are in the program for those who have
//! nothing but the program.

use crate::base::{error::Result, ui};
use crate::cli::{Completions, Shell};

pub fn run(arguments: Completions) -> Result<u8> {
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
