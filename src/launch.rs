//! From the command line to what runs: arguments → settings → plan → run.

use tokio::runtime::Runtime;

use crate::{
    backend::refuse_download,
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        process,
        signals::Signals,
        trace, ui,
    },
    claude::{
        self, SessionPlan,
        arguments::{self, Request},
    },
    cli::{self, Choice},
    config::{self, Overrides, Project, Settings},
    session::{
        child::Child,
        dry_run,
        plan::{Downloads, Plan},
        run,
    },
};

/// Runs a session of Claude Code, or one of its commands that needs no backend.
pub fn session(typed: cli::Session) -> Result<u8> {
    let request = arguments::read(&typed.claude)?;
    let environment = Environment::read()?;
    let model = match &request {
        Request::Session(request) => request.model.clone(),
        Request::Direct => None,
    };
    let overrides = Overrides { lean: typed.lean, throwaway: typed.throwaway, ..typed.choice.overrides(model) };
    let settings = match &request {
        Request::Session(_) => settings(&typed.choice, &overrides, &environment)?,
        // These would run without us too, and nothing of a file that has no word of the user's could count for them.
        Request::Direct => {
            warn(&environment);
            let project = Project::find(&environment).ok().flatten().filter(Project::is_trusted);
            own_settings(&typed.choice, &overrides, project.as_ref(), &environment)?
        }
    };
    thrown_away(&typed, &settings, &request)?;
    match request {
        Request::Direct => direct(&settings, &environment, &typed),
        Request::Session(request) => {
            let mut child = SessionPlan::new(&settings, request, &environment)?;
            if let Some(throwaway) = child.throwaway.as_mut().filter(|_| typed.keep) {
                throwaway.keep(&environment.places.state);
            }
            let plan = Plan::new(settings, environment)?;
            run_child(&plan, &Child::ClaudeCode(child), typed.dry_run, typed.choice.yes)
        }
    }
}

/// Runs a child on the plan's backend, or only says what would be run.
pub fn run_child(plan: &Plan, child: &Child, dry_run: bool, yes: bool) -> Result<u8> {
    if dry_run {
        let missing = event_loop()?.block_on(plan.missing());
        dry_run::print(plan, child, &missing);
        return Ok(0);
    }
    carry_out(plan, yes, async |downloads, signals| run::run(plan, child, downloads, signals).await)
}

/// Asks what has to be asked, and does `job` with the answer.
pub fn carry_out<Job>(plan: &Plan, yes: bool, job: Job) -> Result<u8>
where
    Job: AsyncFn(Downloads, &mut Signals) -> Result<u8>,
{
    if let Some(reason) = &plan.reason {
        ui::say(format_args!("lclaude: {reason}"));
    }
    let runtime = event_loop()?;
    // A backend that is up has its memory and its models.
    let missing = if plan.is_up() {
        Vec::new()
    } else {
        plan.weigh()?.iter().for_each(|words| ui::say(format_args!("lclaude: {words}")));
        runtime.block_on(plan.missing())
    };
    let downloads = agree_to_download(plan, &missing, yes)?;
    plan.ready_runtime()?;
    let ended = runtime.block_on(perform(plan, downloads, job));
    // Not by dropping it: a thread may still wait for a lock that another process holds.
    runtime.shutdown_background();
    ended
}

/// One thread: the parent-death signal of a child fires when the thread that started it ends.
pub fn event_loop() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Code::Bug, "no event loop").why(error))
}

/// Does the job, a second time if it then turns out that a model is missing and the user wants it.
async fn perform<Job>(plan: &Plan, downloads: Downloads, job: Job) -> Result<u8>
where
    Job: AsyncFn(Downloads, &mut Signals) -> Result<u8>,
{
    let mut signals = Signals::listen()?;
    let ended = job(downloads, &mut signals).await;
    let Err(Failure { missing: Some(model), .. }) = &ended else {
        return ended;
    };
    refuse_download(plan.untrusted(), model)?;
    if downloads == Downloads::Agreed {
        return ended;
    }
    match signals.agrees(format!("{model} is not installed. Download it now?")).await {
        None => Ok(signals.exit_code()),
        Some(false) => ended,
        Some(true) => job(Downloads::Agreed, &mut signals).await,
    }
}

/// Many gigabytes are downloaded only when the user says so.
fn agree_to_download(plan: &Plan, missing: &[String], yes: bool) -> Result<Downloads> {
    // Where only the server can tell what is missing, it will be found out later.
    let Some(first) = missing.first() else {
        return Ok(if yes { Downloads::Agreed } else { Downloads::NotAgreed });
    };
    refuse_download(plan.untrusted(), first)?;
    if yes || ui::agrees(&format!("{} is not installed. Pull it now?", missing.join(" and "))) {
        return Ok(Downloads::Agreed);
    }
    plan.not_installed(first).map_or(Ok(Downloads::NotAgreed), Err)
}

/// All that the user and the project say, with a warning for what nobody understands.
pub fn settings(choice: &Choice, overrides: &Overrides, environment: &Environment) -> Result<Settings> {
    warn(environment);
    let project = Project::find(environment)?;
    own_settings(choice, overrides, project.as_ref(), environment)
}

/// Starts lclaude's own log, and warns of what nobody understands.
pub fn warn(environment: &Environment) {
    for warning in config::unknown_variables(&environment.variables) {
        ui::say(warning);
    }
    if let Some(warning) = trace::start(&environment.places.state) {
        ui::say(format_args!("lclaude: warning: {warning}"));
    }
}

/// The same with another project's file, or without any.
pub fn own_settings(
    choice: &Choice,
    overrides: &Overrides,
    project: Option<&Project>,
    environment: &Environment,
) -> Result<Settings> {
    let file = choice.config.as_deref();
    config::load(file.unwrap_or(&environment.places.config_file), file.is_some(), project, overrides, environment)
}

/// Whether `--throwaway` and `--keep` have something to be about.
fn thrown_away(typed: &cli::Session, settings: &Settings, request: &Request) -> Result<()> {
    if *request == Request::Direct && (typed.throwaway == Some(true) || typed.keep) {
        return Err(Failure::new(Code::Usage, "--throwaway is for sessions")
            .why("this is a command of Claude Code's that lclaude only passes on, with your own configuration")
            .help("leave --throwaway out"));
    }
    if typed.keep && settings.throwaway != Some(true) {
        return Err(Failure::new(Code::Usage, "--keep keeps a throwaway session's home, and this is none")
            .why("any other session's history is kept as always")
            .help("lclaude --throwaway --keep"));
    }
    Ok(())
}

/// Claude Code as if lclaude were not there.
fn direct(settings: &Settings, environment: &Environment, typed: &cli::Session) -> Result<u8> {
    let program = claude::find(settings, environment)?;
    if typed.dry_run {
        ui::say(format_args!(
            "lclaude: this needs no backend; {} would run with its arguments as they are",
            program.display()
        ));
        return Ok(0);
    }
    let error = process::replace_with(&mut claude::direct(&program, &typed.claude));
    Err(Failure::new(Code::NoClaude, format!("{} could not be started", program.display()))
        .why(error)
        .help(format!("{} installs it anew", claude::NPM)))
}

/// `--help` and `--version` are about both programs.
pub fn show_both(ours: &str, argument: &str) -> Result<u8> {
    let mut text = format!("{}\n", ours.trim_end());
    let theirs = Environment::read().and_then(|environment| {
        let file = &environment.places.config_file;
        let settings = config::load(file, false, None, &Overrides::default(), &environment)?;
        claude::find(&settings, &environment)
    });
    match theirs.map(|program| claude::output(&program, argument)) {
        Ok(Some(theirs)) => text.push_str(&format!("\n{theirs}\n")),
        Ok(None) => {}
        Err(failure) => text.push_str(&format!("\n{failure}\n")),
    }
    ui::print(&text);
    Ok(0)
}
