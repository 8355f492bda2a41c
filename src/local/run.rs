//! `lclaude local run`: any program in the environment that Claude Code would have, on a backend that is held for it.

use crate::cli::Run;

use crate::{
    base::{
        error::{Code, Failure, Result},
        paths::Places,
    },
    claude::Throwaway,
    launch,
    session::{
        child::{Child, Program},
        plan::{self, Plan},
    },
};

pub fn run(arguments: Run) -> Result<u8> {
    let Run { choice, dry_run, command } = arguments;
    let Some((name, rest)) = command.split_first() else {
        return Err(Failure::new(Code::Usage, "`lclaude local run` needs a program to run")
            .why("there is none after its options")
            .help("lclaude local run -- node agent.mjs"));
    };
    let places = Places::find()?;
    let settings = choice.settings(&places)?;
    let plan = Plan::new(&settings, &places)?;
    let throwaway = Throwaway::if_wanted(&settings, &places.home, &plan::here()?)?;
    super::selection::warn_of_settings(Some(&*places.home).filter(|_| throwaway.is_none()))?;
    let child = Child::Program(Program::find(name, rest, throwaway)?);
    launch::run_child(plan, &child, dry_run, choice.choice.yes, &settings, &places)
}
