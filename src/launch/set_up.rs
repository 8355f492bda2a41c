//! Offers setup if nothing on this machine can run a session yet.

use std::{env, process::Command};

use crate::{
    backend::{self, registry},
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        exit::Exit,
        process,
        question::{self, Enter},
        ui,
    },
    claude,
    cli::{Choice, Selection, SetupArguments},
    config::Settings,
};

/// Returns whether setup can install what is missing: a backend, if none is configured, or Claude Code.
pub(crate) fn can_help(failure: &Failure, settings: &Settings, environment: &Environment) -> bool {
    match failure.code {
        Code::NoClaude => settings.claude.path.is_none() && claude::find(settings, environment).is_err(),
        Code::Unavailable => {
            let program = |(kind, _)| registry::backend(kind).program(settings, environment);
            settings.backend.is_none() && backend::detect(settings, environment).and_then(program).is_err()
        }
        _ => false,
    }
}

/// Returns the failure with setup as its first help.
pub(crate) fn suggest(mut failure: Failure, choice: &Choice) -> Failure {
    failure.help.retain(|help| !help.starts_with("lclaude local setup"));
    failure.help.insert(0, choice.line(&["lclaude", "local", "setup"], None));
    failure
}

/// Offers to run setup. After it the session starts, in a new lclaude, since it may have changed anything.
///
/// # Errors
/// The failure with setup as its first help, unless there is a terminal to ask on, and the errors of setup.
pub(crate) fn offer(
    mut failure: Failure,
    selection: Selection,
    dry_run: bool,
    set_up: fn(SetupArguments) -> Result<Exit>,
) -> Result<Exit> {
    let line = selection.line("setup");
    failure.help.insert(0, line.clone());
    // `--yes` isn't consent to install programs.
    if dry_run || selection.choice.yes || !ui::can_ask() {
        return Err(failure);
    }
    ui::message_lines(&failure);
    if !question::confirm(&format!("Run {line} now?"), Enter::Yes) {
        return Ok(Exit::Code(failure.exit_code()));
    }
    match set_up(SetupArguments { choice: selection, dry_run: false })? {
        Exit::Code(0) => {}
        exit => return Ok(exit),
    }
    let again = env::current_exe().map(|own| {
        let mut command = Command::new(own);
        command.args(env::args_os().skip(1));
        process::exec(&mut command)
    });
    let error = again.unwrap_or_else(|error| error);
    Err(Failure::new(Code::Bug, "the session could not be started after setup").cause(error).help("lclaude"))
}
