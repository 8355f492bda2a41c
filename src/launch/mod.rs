//! Starts what the command line asks for: loads the settings, makes the plan, and runs it with `prepare`.

mod asked;
mod hint;
mod model;
mod prepare;
mod set_up;

use crate::{
    backend::{Service, list_some, url_notes},
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        exit::Exit,
        pager, process, trace, ui, wait,
    },
    claude::{
        self, SessionPlan,
        arguments::{self, EarlierOptions, Request},
    },
    cli::{self, Choice, Selection},
    config::{self, Overrides, Project, Settings},
    session::{child::Child, dry_run, plan::Plan, run, served_model},
};

pub(crate) use asked::Asked;
pub(crate) use model::{Instead, entries, instead, instead_of_reported, offered};
pub(crate) use prepare::prepare_and_run;

/// Runs a Claude Code session, or one of its commands that needs no backend.
///
/// `set_up` runs setup, which is offered if a program is missing.
pub(crate) fn session(typed: cli::SessionArguments, set_up: fn(cli::SetupArguments) -> Result<Exit>) -> Result<Exit> {
    let earlier = EarlierOptions { models: &typed.models, settings: typed.settings.as_ref() };
    let request = arguments::parse(&earlier, &typed.claude)?;
    let environment = Environment::read()?;
    let model = match &request {
        Request::Session(request) => request.model.clone(),
        Request::Direct => None,
    };
    let overrides = Overrides {
        lean: typed.lean,
        tools: typed.toolset,
        throwaway: typed.throwaway,
        program: typed.program.clone(),
        ..typed.choice.overrides(model.clone())
    };
    let settings = match &request {
        Request::Session(_) => settings(&typed.choice, &overrides, &environment)?,
        // These commands use no backend, so an untrusted project file can't affect them and isn't an error.
        Request::Direct => {
            start_log_and_warn(&environment);
            let project = Project::find(&environment).ok().flatten().filter(Project::is_trusted);
            load_settings(&typed.choice, &overrides, project.as_ref(), &environment)?
        }
    };
    check_throwaway_options(&typed, &settings, &request)?;
    if request != Request::Direct {
        cli::check_unknown(&typed, || claude::find(&settings, &environment))?;
    }
    hint::print(&typed, &request, &settings, &environment);
    match request {
        Request::Direct => run_direct(&settings, &environment, &typed),
        Request::Session(request) => {
            let asked = Asked { is_dry_run: typed.dry_run, ..Asked::new(&["lclaude"], &typed.choice) };
            let planned = plan(settings.clone(), environment.clone(), &asked).and_then(|plan| {
                let child = SessionPlan::new(plan.settings(), request, plan.environment())?;
                Ok((plan, child))
            });
            let (plan, mut child) = match planned {
                Ok(planned) => planned,
                Err(failure) if set_up::can_help(&failure, &settings, &environment) => {
                    let selection = Selection { choice: typed.choice, model };
                    return set_up::offer(failure, selection, typed.dry_run, set_up);
                }
                Err(failure) => return Err(failure),
            };
            if let Some(throwaway) = child.throwaway.as_mut().filter(|_| typed.keep) {
                throwaway.keep(&plan.environment().places.state);
            }
            run_child(plan, &Child::ClaudeCode(child), DryRun::of(typed.dry_run, typed.json), &asked)
        }
    }
}

/// Plans a session, once the model is known.
///
/// # Errors
/// Those of [`Plan::new`] and [`served_model::choose`].
pub(crate) fn plan(settings: Settings, environment: Environment, asked: &Asked<'_>) -> Result<Plan> {
    Plan::new(with_model(settings, &environment, asked)?, environment)
}

/// Returns the settings with the model of an endpoint for which none is configured. A dry run doesn't ask which that is.
///
/// # Errors
/// Those of [`served_model::choose`].
pub(crate) fn with_model(settings: Settings, environment: &Environment, asked: &Asked<'_>) -> Result<Settings> {
    if !served_model::is_asked(&settings) {
        return Ok(settings);
    }
    if asked.is_dry_run {
        return Ok(served_model::unasked(settings));
    }
    wait::event_loop()?.block_on(served_model::choose(settings, environment, true, |model| asked.with_model(model)))
}

/// Whether only to print what would run, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DryRun {
    No,
    Text,
    Json,
}

impl DryRun {
    /// Returns what `--dry-run` and `--json` ask for.
    pub(crate) fn of(dry_run: bool, json: bool) -> Self {
        match (dry_run, json) {
            (false, _) => DryRun::No,
            (true, false) => DryRun::Text,
            (true, true) => DryRun::Json,
        }
    }
}

/// Runs a child on the plan's backend, or with `dry_run` prints what would run.
pub(crate) fn run_child(plan: Plan, child: &Child, dry_run: DryRun, asked: &Asked<'_>) -> Result<Exit> {
    if dry_run != DryRun::No {
        // A dry run asks no server.
        let missing = match plan.backend.service {
            Service::Running(_) => Vec::new(),
            _ => wait::event_loop()?.block_on(plan.missing()),
        };
        dry_run::print(&plan, child, &missing, dry_run == DryRun::Json);
        let usable = wait::event_loop()?.block_on(offered(&plan, &missing));
        if !usable.is_empty() {
            let names: Vec<&str> = usable.iter().map(|listed| listed.model.name.as_str()).collect();
            let names = list_some(&names);
            ui::message(format_args!("lclaude: a session would first ask which installed model to use: {names}"));
        }
        return Ok(Exit::Code(0));
    }
    prepare_and_run(plan, asked, async |plan, downloads, signals| run::run(plan, child, downloads, signals).await)
}

/// Returns the settings of the user and the project, and warns about unknown environment variables.
pub(crate) fn settings(choice: &Choice, overrides: &Overrides, environment: &Environment) -> Result<Settings> {
    start_log_and_warn(environment);
    let project = Project::find(environment)?;
    let settings = load_settings(choice, overrides, project.as_ref(), environment)?;
    for note in url_notes(&settings) {
        ui::note(format_args!("lclaude: {note}"));
    }
    Ok(settings)
}

/// Warns about unknown environment variables and starts lclaude's own log.
pub(crate) fn start_log_and_warn(environment: &Environment) {
    for warning in config::unknown_variables(&environment.variables) {
        ui::message(warning);
    }
    if let Some(warning) = trace::start(&environment.places.state) {
        ui::message(format_args!("lclaude: warning: {warning}"));
    }
}

/// Returns the settings with the given project file, or without one.
pub(crate) fn load_settings(
    choice: &Choice,
    overrides: &Overrides,
    project: Option<&Project>,
    environment: &Environment,
) -> Result<Settings> {
    let file = choice.config.as_deref();
    config::load(file.unwrap_or(&environment.places.config_file), file.is_some(), project, overrides, environment)
}

/// Checks that `--throwaway` and `--keep` apply to the request.
fn check_throwaway_options(typed: &cli::SessionArguments, settings: &Settings, request: &Request) -> Result<()> {
    if *request == Request::Direct && (typed.throwaway == Some(true) || typed.keep) {
        let option = if typed.throwaway == Some(true) { "--throwaway" } else { "--keep" };
        return Err(Failure::new(Code::Usage, format!("{option} can't be used with this command"))
            .cause("lclaude passes this command to Claude Code unchanged, with your own configuration")
            .help(cli::command_line(&typed.claude)));
    }
    if typed.keep && settings.throwaway != Some(true) {
        return Err(Failure::new(Code::Usage, "--keep requires --throwaway")
            .cause("it keeps the home of a throwaway session; other sessions keep their history anyway")
            .help("lclaude --throwaway --keep"));
    }
    Ok(())
}

/// Replaces this process with Claude Code, with unchanged arguments and environment.
fn run_direct(settings: &Settings, environment: &Environment, typed: &cli::SessionArguments) -> Result<Exit> {
    let program = claude::find(settings, environment)?;
    if typed.dry_run {
        dry_run::print_direct(settings, &program, &typed.claude_arguments(), typed.json);
        return Ok(Exit::Code(0));
    }
    let error = process::exec(&mut claude::direct_command(&program, &typed.claude_arguments()));
    Err(claude::not_started(&program, &error))
}

/// Prints our `--help` or `--version`, followed by Claude Code's.
pub(crate) fn print_both(ours: &str, argument: &str) -> Result<Exit> {
    let mut text = format!("{}\n", ours.trim_end());
    let theirs = Environment::read().and_then(|environment| {
        let file = &environment.places.config_file;
        let settings = config::load(file, false, None, &Overrides::default(), &environment)?;
        claude::find(&settings, &environment)
    });
    match theirs.map(|program| claude::read_output(&program, argument)) {
        Ok(Some(theirs)) => text.push_str(&format!("\n{theirs}\n")),
        Ok(None) => {}
        Err(failure) => text.push_str(&format!("\n{failure}\n")),
    }
    match argument {
        "--help" => pager::show(&text),
        _ => ui::print(&text),
    }
    Ok(Exit::Code(0))
}
