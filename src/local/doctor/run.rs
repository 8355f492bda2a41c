//! Runs all checks in order and prints the report.

use std::path::Path;

use super::{backends, claude, configuration, live, machine, privacy, report, wsl};
use crate::{
    backend::subject::{Subject, edit_command},
    base::{
        check::{Area, Check, Severity},
        environment::Environment,
        error::Result,
        exit::Exit,
        signals::Signals,
        ui, wait,
    },
    cli::{DoctorArguments, Selection},
    config::project::locate,
    session::served_model,
};

/// Returns exit code 1 if a check failed.
pub(crate) fn run(arguments: DoctorArguments) -> Result<Exit> {
    if arguments.privacy {
        return privacy::run(&arguments);
    }
    let runtime = wait::event_loop()?;
    let mut checks = Vec::new();
    let interrupted = runtime.block_on(run_checks(&arguments, &mut checks));
    // Dropping it would block while a thread waits for a lock that another process holds.
    runtime.shutdown_background();
    checks.sort_by_key(|check| check.area);
    if arguments.json {
        ui::print_json(&report::json(&checks));
    } else {
        report::print(&checks);
    }
    if let Some(exit) = interrupted? {
        ui::message("lclaude: interrupted; some checks did not run");
        return Ok(exit);
    }
    Ok(Exit::Code(checks.iter().any(|check| check.state == Severity::Failure).into()))
}

/// Adds all checks. Returns how lclaude ends if a signal interrupted them.
async fn run_checks(arguments: &DoctorArguments, checks: &mut Vec<Check>) -> Result<Option<Exit>> {
    let environment = match Environment::read() {
        Ok(environment) => environment,
        Err(failure) => {
            // All other checks need paths below it.
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
    let line = |model: &str| Selection { model: Some(model.to_owned()), ..arguments.choice.clone() }.line("doctor");
    // Without a model, planning reports a failure below.
    let settings = match served_model::is_asked(&settings) {
        true => served_model::choose(settings.clone(), &environment, false, line).await.unwrap_or(settings),
        false => settings,
    };
    let choice = &arguments.choice.choice;
    let file = choice.config.as_deref().unwrap_or(&environment.places.config_file);
    let claude = claude::check(&settings, &environment, file, checks).await;
    let subject = Subject { settings: &settings, environment: &environment, file, yes: choice.yes };
    let plan = backends::check(&subject, checks).await;
    machine::check(&subject, plan.as_ref(), checks).await;
    wsl::check(&environment, checks);
    if let Ok(Some(project)) = locate(&environment) {
        redirect_help(&project, file, checks);
    }
    if !arguments.live {
        checks.push(live::last_result(&subject, plan.as_ref(), claude.as_deref()));
        return Ok(None);
    }
    // The fallback settings are not what the user asked to test.
    if checks.iter().any(|check| check.area == Area::Configuration && check.state == Severity::Failure) {
        checks.push(live::skipped("the configuration has errors, listed above"));
        return Ok(None);
    }
    let mut signals = Signals::listen()?;
    Ok(live::check(&subject, claude, checks, &mut signals).await)
}

/// Changes help to edit the user's configuration into help to edit the project file, for checks that mention that file.
fn redirect_help(project: &Path, user_file: &Path, checks: &mut [Check]) {
    let path = project.display().to_string();
    let mentions_project =
        |check: &&mut Check| check.found.contains(&path) || check.why.iter().any(|why| why.contains(&path));
    for help in checks.iter_mut().filter(mentions_project).flat_map(|check| &mut check.help) {
        if *help == edit_command(user_file) {
            *help = edit_command(project);
        }
    }
}
