//! `lclaude local doctor`: every check a line, with the command that mends what is wrong.
//!
//! A check runs the very function that a session would run and shows its failure, so doctor never disagrees with lclaude.
//! It never stops half-way: what cannot be found out is one check that failed, and the others still run. Without `--live`
//! it starts nothing but programs that are asked for their version, and changes nothing.
//!
//! `--json` prints one object: `format` (1), `lclaude` (its version), `ok`, `warnings` and `failures` (how many), and
//! `checks`, each with `area` (configuration, claude, backends, machine, live), `name`, `state` (ok, warning, failure),
//! `found`, `why` (or null), `log` and `help` (lists of lines; the first help is the best). Area and name together are
//! unique and stay.

use super::{backends, claude, configuration, live, machine, report};
use crate::backend::subject::{Subject, edit};
use crate::base::check::{Area, Check, State};
use crate::cli::Doctor;
use std::path::Path;

use crate::{
    base::{environment::Environment, error::Result, signals::Signals, ui},
    config::project::locate,
    launch,
};

pub fn run(arguments: Doctor) -> Result<u8> {
    let runtime = launch::event_loop()?;
    let mut checks = Vec::new();
    let interrupted = runtime.block_on(examine(&arguments, &mut checks));
    // Not by dropping it: a thread may still wait for a lock that another process holds.
    runtime.shutdown_background();
    checks.sort_by_key(|check| check.area);
    ui::print(&if arguments.json { report::json(&checks) } else { report::text(&checks) });
    if let Some(code) = interrupted? {
        ui::say("lclaude: stopped before everything was proven");
        return Ok(code);
    }
    Ok(u8::from(checks.iter().any(|check| check.state == State::Failure)))
}

/// Gives an exit code if a signal put an end to it.
async fn examine(arguments: &Doctor, checks: &mut Vec<Check>) -> Result<Option<u8>> {
    let environment = match Environment::read() {
        Ok(environment) => environment,
        Err(failure) => {
            // Everything else is in it or below it.
            checks.push(Check::failed(Area::Configuration, "home", &failure));
            return Ok(None);
        }
    };
    let environment = match environment.working_dir() {
        Ok(_) => environment,
        Err(failure) => {
            checks.push(Check::failed(Area::Configuration, "directory", &failure));
            let home = environment.home().to_owned();
            environment.in_directory(&home)
        }
    };
    let settings = configuration::check(&arguments.choice, &environment, checks);
    let choice = &arguments.choice.choice;
    let file = choice.config.as_deref().unwrap_or(&environment.places.config_file);
    let claude = claude::check(&settings, &environment, file, checks).await;
    let subject = Subject { settings: &settings, environment: &environment, file, yes: choice.yes };
    let plan = backends::check(&subject, checks).await;
    machine::check(&subject, plan.as_ref(), checks).await;
    if let Ok(Some(project)) = locate(&environment) {
        blame(&project, file, checks);
    }
    if !arguments.live {
        checks.push(live::last(&subject, plan.as_ref(), claude.as_deref()));
        return Ok(None);
    }
    // It could only prove something else than what was asked for.
    if checks.iter().any(|check| check.area == Area::Configuration && check.state == State::Failure) {
        checks.push(live::not_tried("the configuration cannot be used, as said above"));
        return Ok(None);
    }
    let mut signals = Signals::listen()?;
    Ok(live::check(&subject, claude, checks, &mut signals).await)
}

/// What the project's file is to blame for is mended there, not in the user's own.
fn blame(project: &Path, own: &Path, checks: &mut [Check]) {
    let named = project.display().to_string();
    let blamed = |check: &&mut Check| check.found.contains(&named) || check.why.iter().any(|why| why.contains(&named));
    for help in checks.iter_mut().filter(blamed).flat_map(|check| &mut check.help) {
        if *help == edit(own) {
            *help = edit(project);
        }
    }
}
