//! Prints the hint for a first word that may have been meant as a command of lclaude.

use crate::{
    base::{environment::Environment, ui},
    claude::arguments::Request,
    cli,
    config::Settings,
    session::said,
};

/// Prints the hint if a person can see it: for a prompt every time, and for one of Claude Code's own commands once,
/// since it is often meant.
pub(super) fn print(typed: &cli::SessionArguments, request: &Request, settings: &Settings, environment: &Environment) {
    if !ui::is_seen() {
        return;
    }
    let is_command = *request == Request::Direct;
    match cli::hint(typed, is_command).map(ui::one_line) {
        Some(hint) if is_command => {
            let remembers = settings.throwaway != Some(true) && !typed.dry_run;
            said::print_once("hints.json", &hint, &hint, &environment.places.state, remembers);
        }
        Some(hint) => ui::note(format_args!("lclaude: {hint}")),
        None => {}
    }
}
