//! `lclaude local run`: runs a program with Claude Code's environment, as a session.

use super::selection::warn_about_settings;
use crate::{
    backend::registry,
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        exit::Exit,
        ui,
    },
    claude::Throwaway,
    cli::RunArguments,
    launch::{self, Asked, DryRun},
    session::child::{Child, ChildProgram},
};

pub(crate) fn run(arguments: RunArguments) -> Result<Exit> {
    let RunArguments { choice, dry_run, json, command } = arguments;
    let Some((name, rest)) = command.split_first() else {
        return Err(Failure::new(Code::Usage, "`lclaude local run` requires a program")
            .cause("no program is given after the options")
            .help("lclaude local run -- node agent.mjs"));
    };
    let environment = Environment::read()?;
    let settings = choice.settings(&environment)?;
    let throwaway = Throwaway::if_wanted(&settings, &environment)?;
    warn_about_settings(&environment, throwaway.is_none())?;
    let repeated = ui::quote_command(command.iter().map(|word| word.to_string_lossy().into_owned()));
    let asked = Asked {
        rest: format!(" -- {repeated}"),
        is_dry_run: dry_run,
        ..Asked::new(&["lclaude", "local", "run"], &choice.choice)
    };
    let mut plan = launch::plan(settings, environment, &asked)?;
    if registry::backend(plan.backend.kind).is_client(name) {
        plan = plan.for_client();
    }
    let child = Child::Program(ChildProgram::find(name, rest, throwaway)?);
    launch::run_child(plan, &child, DryRun::of(dry_run, json), &asked)
}
