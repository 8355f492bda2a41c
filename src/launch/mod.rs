//! Starts what the command line asks for: loads the settings, makes the plan, asks about models that aren't installed,
//! and runs it.

mod asked;
mod hint;
mod model;
mod set_up;

use tokio::runtime::Runtime;

use crate::{
    backend::{Service, list_some, refuse_download, registry, url_notes},
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        exit::Exit,
        pager, process,
        question::Enter,
        signals::Signals,
        trace, ui,
    },
    claude::{
        self, SessionPlan,
        arguments::{self, EarlierOptions, Request},
    },
    cli::{self, Choice, Selection},
    config::{self, Overrides, Project, Settings},
    session::{
        child::Child,
        dry_run,
        plan::{Downloads, Plan},
        run::{self, Outcome},
        said, served_model,
    },
};

pub(crate) use asked::Asked;
pub(crate) use model::{Instead, entries, instead, instead_of_reported, offered};
use model::{is_default, is_default_missing};

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
    event_loop()?.block_on(served_model::choose(settings, environment, true, |model| asked.with_model(model)))
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
            _ => event_loop()?.block_on(plan.missing()),
        };
        dry_run::print(&plan, child, &missing, dry_run == DryRun::Json);
        let usable = event_loop()?.block_on(offered(&plan, &missing));
        if !usable.is_empty() {
            let names: Vec<&str> = usable.iter().map(|listed| listed.model.name.as_str()).collect();
            let names = list_some(&names);
            ui::message(format_args!("lclaude: a session would first ask which installed model to use: {names}"));
        }
        return Ok(Exit::Code(0));
    }
    prepare_and_run(plan, asked, async |plan, downloads, signals| run::run(plan, child, downloads, signals).await)
}

/// Asks about models that aren't installed, checks memory, and runs `job` with the answer.
pub(crate) fn prepare_and_run<Job>(plan: Plan, asked: &Asked<'_>, job: Job) -> Result<Exit>
where
    Job: AsyncFn(&Plan, Downloads, &mut Signals) -> Result<Outcome>,
{
    let runtime = event_loop()?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let Some((plan, downloads)) = prepare(plan, asked, &mut signals).await? else {
            return Ok(signals.exit());
        };
        run_job(plan, downloads, job, asked, &mut signals).await
    });
    // Dropping the runtime would wait for a thread that may be waiting for another process's lock.
    runtime.shutdown_background();
    ended
}

/// Returns the plan with models that are installed or may be downloaded, or `None` if a signal arrives.
async fn prepare(mut plan: Plan, asked: &Asked<'_>, signals: &mut Signals) -> Result<Option<(Plan, Downloads)>> {
    let mut downloads = Downloads::NotAgreed;
    let mut missing = Vec::new();
    // A running backend already has its memory and models.
    let mut is_up = plan.is_up();
    while !is_up {
        let Some(found) = signals.unless_interrupted(plan.missing()).await else {
            return Ok(None);
        };
        missing = found;
        if missing.is_empty() {
            break;
        }
        match instead(&plan, &missing, asked, signals).await? {
            // Another model may be missing, so this looks again.
            Some(Instead::Installed(settings)) => {
                plan = Plan::new(*settings, plan.environment().clone())?;
                is_up = plan.is_up();
                missing.clear();
            }
            Some(Instead::Download) => {
                downloads = Downloads::Agreed;
                break;
            }
            Some(Instead::Interrupted) => return Ok(None),
            None => break,
        }
    }
    if let Some(reason) = &plan.reason {
        let remembers = plan.settings().throwaway != Some(true);
        said::print_once("backends.json", reason, &ui::one_line(reason), &plan.environment().places.state, remembers);
    }
    let tight = if is_up { None } else { plan.check_memory()? };
    let yes = asked.choice.yes || downloads == Downloads::Agreed;
    let Some(downloads) = ask_to_download(&plan, &missing, yes, asked, signals).await? else {
        return Ok(None);
    };
    if let Some(warning) = tight {
        ui::message_lines(format_args!("lclaude: {warning}"));
    }
    Ok(Some((plan, downloads)))
}

/// Runs the job. If it fails because a model is missing and the user agrees to download it or to use another, runs it
/// again.
async fn run_job<Job>(
    mut plan: Plan,
    mut downloads: Downloads,
    job: Job,
    asked: &Asked<'_>,
    signals: &mut Signals,
) -> Result<Exit>
where
    Job: AsyncFn(&Plan, Downloads, &mut Signals) -> Result<Outcome>,
{
    loop {
        plan.ready_runtime()?;
        let missing = match job(&plan, downloads, signals).await? {
            Outcome::Exited(exit) => return Ok(exit),
            Outcome::ModelMissing(missing) => missing,
        };
        if downloads == Downloads::Agreed {
            refuse_download(plan.untrusted(), &missing.model)?;
            return Err(missing.failure);
        }
        match instead_of_reported(&plan, &missing, asked, signals).await? {
            Some(Instead::Installed(settings)) => {
                plan = Plan::new(*settings, plan.environment().clone())?;
                continue;
            }
            Some(Instead::Download) => {}
            Some(Instead::Interrupted) => return Ok(signals.exit()),
            None => {
                refuse_download(plan.untrusted(), &missing.model)?;
                if !missing.can_download {
                    return Err(missing.failure);
                }
                let agrees = match asked.choice.yes {
                    true => Some(true),
                    false => signals.agrees(download_question(&missing.model), Enter::No).await,
                };
                match agrees {
                    None => return Ok(signals.exit()),
                    Some(false) => return Err(missing.failure),
                    Some(true) => {}
                }
            }
        }
        downloads = Downloads::Agreed;
    }
}

/// Asks whether to download missing models, which can take many gigabytes. Returns `None` if a signal arrives.
async fn ask_to_download(
    plan: &Plan,
    missing: &[String],
    yes: bool,
    asked: &Asked<'_>,
    signals: &mut Signals,
) -> Result<Option<Downloads>> {
    let Some(first) = missing.first() else {
        // Some servers report a missing model only when it is loaded. `run_job` asks then, or `--yes` uses another model
        // that is installed instead of the default.
        let knows_missing = registry::backend(plan.backend.kind).knows_models_offline() || !is_default(plan);
        return Ok(Some(if yes && knows_missing { Downloads::Agreed } else { Downloads::NotAgreed }));
    };
    refuse_download(plan.untrusted(), first)?;
    if !asked.choice.yes {
        match signals.unless_interrupted(plan.out_of_reach(first)).await {
            None => return Ok(None),
            Some(Some(failure)) => return Err(failure),
            Some(None) => {}
        }
    }
    if yes {
        return Ok(Some(Downloads::Agreed));
    }
    // The size is known only for all models together.
    let size = plan.inspect_models().weights.filter(|_| missing.len() == plan.backend.models.len());
    let size = size.map(|size| format!(" ({})", ui::format_bytes(size))).unwrap_or_default();
    match signals.agrees(download_question(&(missing.join(" and ") + &size)), Enter::No).await {
        None => Ok(None),
        Some(true) => Ok(Some(Downloads::Agreed)),
        Some(false) => match plan.not_installed(first) {
            Some(failure) if is_default_missing(plan, missing) => Err(set_up::suggest(failure, asked.choice)),
            Some(failure) => Err(failure),
            None => Ok(Some(Downloads::NotAgreed)),
        },
    }
}

fn download_question(models: &str) -> String {
    format!("{models} is not installed. Download it now?")
}

/// Returns a single-threaded runtime, because a child's parent-death signal fires when the thread that started it ends.
pub(crate) fn event_loop() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Code::Bug, "the event loop could not be started").cause(error))
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
