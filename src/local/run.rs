//! `lclaude local run`: any program in the environment that Claude Code would have, on a backend that is held for it.

use std::ffi::OsString;

use super::Selection;
use crate::{
    child::{Child, Program},
    claude::Throwaway,
    error::{Code, Failure, Result},
    launch,
    paths::Places,
    plan::{self, Plan},
};

/// Run any program in the environment of a session
///
/// The program speaks to the backend, or starts something that does: a script with the Agent SDK, an editor's agent,
/// claude itself. It ends as it would without lclaude, with its own exit code; 127 if it cannot be started.
#[derive(Debug, clap::Args)]
#[command(override_usage = "lclaude local run [OPTIONS] -- PROGRAM [ARGUMENTS...]")]
pub struct Arguments {
    #[command(flatten)]
    choice: Selection,
    /// Start nothing; print what would be
    #[arg(long)]
    dry_run: bool,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

pub fn run(arguments: Arguments) -> Result<u8> {
    let Arguments { choice, dry_run, command } = arguments;
    let Some((name, rest)) = command.split_first() else {
        return Err(Failure::new(Code::Usage, "`lclaude local run` needs a program to run")
            .why("there is none after its options")
            .help("lclaude local run -- node agent.mjs"));
    };
    let places = Places::find()?;
    let settings = choice.settings(&places)?;
    let plan = Plan::new(&settings, &places)?;
    let throwaway = Throwaway::if_wanted(&settings, &places.home, &plan::here()?)?;
    super::warn_of_settings(Some(&*places.home).filter(|_| throwaway.is_none()))?;
    let child = Child::Program(Program::find(name, rest, throwaway)?);
    launch::run_child(plan, &child, dry_run, choice.choice.yes, &settings, &places)
}
