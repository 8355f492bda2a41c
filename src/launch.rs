//! Starts what the command line asks for: loads the settings, makes the plan, asks about downloads, and runs it.

use tokio::runtime::Runtime;

use crate::{
    backend::{MissingModel, Service, refuse_download, url_notes},
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        exit::Exit,
        pager, process,
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
        served_model,
    },
};

/// Runs a Claude Code session, or one of its commands that needs no backend.
pub(crate) fn session(typed: cli::SessionArguments) -> Result<Exit> {
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
        ..typed.choice.overrides(model)
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
    match request {
        Request::Direct => run_direct(&settings, &environment, &typed),
        Request::Session(request) => {
            let selection = Selection { choice: typed.choice.clone(), model: None };
            let plan = plan(settings, environment, &selection, Selection::session_line)?;
            let mut child = SessionPlan::new(plan.settings(), request, plan.environment())?;
            if let Some(throwaway) = child.throwaway.as_mut().filter(|_| typed.keep) {
                throwaway.keep(&plan.environment().places.state);
            }
            run_child(&plan, &Child::ClaudeCode(child), typed.dry_run, typed.choice.yes)
        }
    }
}

/// Plans a session, once the model is known.
///
/// `line`: returns the command line with a selection.
///
/// # Errors
/// Those of [`Plan::new`] and [`served_model::choose`].
pub(crate) fn plan(
    settings: Settings,
    environment: Environment,
    selection: &Selection,
    line: impl Fn(&Selection) -> String,
) -> Result<Plan> {
    Plan::new(with_model(settings, &environment, selection, line)?, environment)
}

/// Returns the settings with the model of an endpoint for which none is configured.
///
/// # Errors
/// Those of [`served_model::choose`].
pub(crate) fn with_model(
    settings: Settings,
    environment: &Environment,
    selection: &Selection,
    line: impl Fn(&Selection) -> String,
) -> Result<Settings> {
    if !served_model::is_asked(&settings) {
        return Ok(settings);
    }
    let command = |model: &str| line(&Selection { model: Some(model.to_owned()), ..selection.clone() });
    event_loop()?.block_on(served_model::choose(settings, environment, command))
}

/// Runs a child on the plan's backend, or with `dry_run` prints what would run.
pub(crate) fn run_child(plan: &Plan, child: &Child, dry_run: bool, yes: bool) -> Result<Exit> {
    if dry_run {
        // A dry run asks no server.
        let missing = match plan.backend.service {
            Service::Running(_) => Vec::new(),
            _ => event_loop()?.block_on(plan.missing()),
        };
        dry_run::print(plan, child, &missing);
        return Ok(Exit::Code(0));
    }
    prepare_and_run(plan, yes, async |downloads, signals| run::run(plan, child, downloads, signals).await)
}

/// Checks memory, asks about downloads, and runs `job` with the answer.
pub(crate) fn prepare_and_run<Job>(plan: &Plan, yes: bool, job: Job) -> Result<Exit>
where
    Job: AsyncFn(Downloads, &mut Signals) -> Result<Outcome>,
{
    if let Some(reason) = &plan.reason {
        ui::note(format_args!("lclaude: {reason}"));
    }
    let runtime = event_loop()?;
    // A running backend already has its memory and models.
    let missing = if plan.is_up() {
        Vec::new()
    } else {
        plan.check_memory()?.iter().for_each(|warning| ui::message_lines(format_args!("lclaude: {warning}")));
        runtime.block_on(plan.missing())
    };
    let downloads = ask_to_download(plan, &missing, yes, &runtime)?;
    plan.ready_runtime()?;
    let ended = runtime.block_on(run_job(plan, downloads, job));
    // Dropping the runtime would wait for a thread that may be waiting for another process's lock.
    runtime.shutdown_background();
    ended
}

/// Returns a single-threaded runtime, because a child's parent-death signal fires when the thread that started it ends.
pub(crate) fn event_loop() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Code::Bug, "the event loop could not be started").cause(error))
}

/// Runs the job. If it fails because a model is missing and the user agrees to download it, runs it again.
async fn run_job<Job>(plan: &Plan, downloads: Downloads, job: Job) -> Result<Exit>
where
    Job: AsyncFn(Downloads, &mut Signals) -> Result<Outcome>,
{
    let mut signals = Signals::listen()?;
    let MissingModel { model, failure } = match job(downloads, &mut signals).await? {
        Outcome::Exited(exit) => return Ok(exit),
        Outcome::ModelMissing(missing) => missing,
    };
    refuse_download(plan.untrusted(), &model)?;
    if downloads == Downloads::Agreed {
        return Err(failure);
    }
    match signals.agrees(download_question(&model)).await {
        None => Ok(signals.exit()),
        Some(false) => Err(failure),
        Some(true) => match job(Downloads::Agreed, &mut signals).await? {
            Outcome::Exited(exit) => Ok(exit),
            Outcome::ModelMissing(missing) => Err(missing.failure),
        },
    }
}

/// Asks whether to download missing models, which can take many gigabytes.
fn ask_to_download(plan: &Plan, missing: &[String], yes: bool, runtime: &Runtime) -> Result<Downloads> {
    // Some servers report a missing model only when it is loaded; `run_job` asks then.
    let Some(first) = missing.first() else {
        return Ok(if yes { Downloads::Agreed } else { Downloads::NotAgreed });
    };
    refuse_download(plan.untrusted(), first)?;
    if !yes && let Some(failure) = runtime.block_on(plan.out_of_reach(first)) {
        return Err(failure);
    }
    if yes || ui::confirm(&download_question(&missing.join(" and "))) {
        return Ok(Downloads::Agreed);
    }
    plan.not_installed(first).map_or(Ok(Downloads::NotAgreed), Err)
}

fn download_question(models: &str) -> String {
    format!("{models} is not installed. Download it now?")
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
        return Err(Failure::new(Code::Usage, "--throwaway can't be used with this command")
            .cause("lclaude passes this command to Claude Code unchanged, with your own configuration")
            .help("remove --throwaway and --keep"));
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
        ui::message(format_args!(
            "lclaude: this command needs no backend; {} would run with unchanged arguments",
            program.display()
        ));
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
    pager::show(&text);
    Ok(Exit::Code(0))
}
