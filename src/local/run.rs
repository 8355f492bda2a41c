//! `lclaude local run`: any program in the environment that Claude Code would have, on a backend that is held for it.

use crate::cli::Run;

use crate::{
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
    },
    claude::Throwaway,
    launch,
    session::{
        child::{Child, Program},
        plan::Plan,
    },
};

pub fn run(arguments: Run) -> Result<u8> {
    let Run { choice, dry_run, command } = arguments;
    let Some((name, rest)) = command.split_first() else {
        return Err(Failure::new(Code::Usage, "`lclaude local run` needs a program to run")
            .why("there is none after its options")
            .help("lclaude local run -- node agent.mjs"));
    };
    let environment = Environment::read()?;
    let settings = choice.settings(&environment)?;
    let throwaway = Throwaway::if_wanted(&settings, &environment)?;
    super::selection::warn_of_settings(&environment, throwaway.is_none())?;
    let child = Child::Program(Program::find(name, rest, throwaway)?);
    let plan = Plan::new(settings, environment.clone())?;
    launch::run_child(&plan, &child, dry_run, choice.choice.yes)
}
