//! From the command line to what runs: arguments → settings → plan → run.

use std::path::Path;

use tokio::runtime::Runtime;

use crate::{
    backend,
    base::{
        error::{Code, Failure, Result},
        paths::Places,
        process,
        signals::Signals,
        trace, ui,
    },
    claude::{
        self, SessionPlan,
        arguments::{self, Request},
    },
    cli::{self, Choice},
    config::{self, Kind, Overrides, Project, Settings},
    keeper,
    session::{
        child::Child,
        dry_run,
        plan::{self, Plan},
        run as running,
    },
};

/// Runs a session of Claude Code, or one of its commands that needs no backend.
pub fn session(typed: cli::Session) -> Result<u8> {
    let request = arguments::read(&typed.claude)?;
    let places = Places::find()?;
    let model = match &request {
        Request::Session(request) => request.model.clone(),
        Request::Direct => None,
    };
    let overrides = Overrides { lean: typed.lean, throwaway: typed.throwaway, ..typed.choice.overrides(model) };
    let settings = match &request {
        Request::Session(_) => settings(&typed.choice, &overrides, &places)?,
        // These would run without us too, and nothing of a file that has no word of the user's could count for them.
        Request::Direct => {
            warn(&places);
            let project = Project::find(&plan::here()?, &places).ok().flatten().filter(Project::is_trusted);
            own_settings(&typed.choice, &overrides, project.as_ref(), &places)?
        }
    };
    thrown_away(&typed, &settings, &request)?;
    match request {
        Request::Direct => direct(&settings, &places, &typed),
        Request::Session(request) => {
            let plan = Plan::new(&settings, &places)?;
            let mut child = SessionPlan::new(&settings, request, &places.home, &plan::here()?)?;
            if let Some(throwaway) = child.throwaway.as_mut().filter(|_| typed.keep) {
                throwaway.keep(&places.state);
            }
            run_child(plan, &Child::ClaudeCode(child), typed.dry_run, typed.choice.yes, &settings, &places)
        }
    }
}

/// Runs a child on the plan's backend, or only says what would be run.
pub fn run_child(
    plan: Plan,
    child: &Child,
    dry_run: bool,
    yes: bool,
    settings: &Settings,
    places: &Places,
) -> Result<u8> {
    if dry_run {
        let known = backend::fit::look(settings, &plan.backend, &places.home, &plan::here()?);
        dry_run::print(&plan, child, settings, &known);
        return Ok(0);
    }
    carry_out(plan, yes, settings, places, async |plan, signals| running::run(plan, child, signals).await)
}

/// Asks what has to be asked, and does `job` with the plan.
pub fn carry_out<Job>(mut plan: Plan, yes: bool, settings: &Settings, places: &Places, job: Job) -> Result<u8>
where
    Job: AsyncFn(&Plan, &mut Signals) -> Result<u8>,
{
    if let Some(reason) = &plan.reason {
        ui::say(format_args!("lclaude: {reason}"));
    }
    let runtime = event_loop()?;
    // One that is up has its memory and its models.
    if !keeper::is_up(plan.runtime(), &plan.backend) {
        let words = backend::fit::check(settings, &plan.backend, &places.home, &plan::here()?)?;
        words.iter().for_each(|words| ui::say(format_args!("lclaude: {words}")));
        runtime.block_on(plan.ask_what_is_missing());
    }
    agree_to_download(&mut plan, yes, places)?;
    places.ready_runtime()?;
    let ended = runtime.block_on(perform(&mut plan, job));
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
async fn perform<Job>(plan: &mut Plan, job: Job) -> Result<u8>
where
    Job: AsyncFn(&Plan, &mut Signals) -> Result<u8>,
{
    let mut signals = Signals::listen()?;
    let ended = job(plan, &mut signals).await;
    let Err(Failure { missing: Some(model), .. }) = &ended else {
        return ended;
    };
    refuse_download(plan.untrusted.as_deref(), model)?;
    if plan.may_pull {
        return ended;
    }
    match signals.agrees(format!("{model} is not installed. Download it now?")).await {
        None => Ok(signals.exit_code()),
        Some(false) => ended,
        Some(true) => {
            plan.may_pull = true;
            job(plan, &mut signals).await
        }
    }
}

/// Many gigabytes are downloaded only when the user says so.
fn agree_to_download(plan: &mut Plan, yes: bool, places: &Places) -> Result<()> {
    // Where only the server can tell what is missing, it will be found out later.
    plan.may_pull = yes;
    let Some(first) = plan.missing.first() else {
        return Ok(());
    };
    refuse_download(plan.untrusted.as_deref(), first)?;
    let question = format!("{} is not installed. Pull it now?", plan.missing.join(" and "));
    plan.may_pull = yes || ui::agrees(&question);
    if plan.may_pull {
        return Ok(());
    }
    if plan.backend.kind == Kind::LlamaCpp {
        return Err(backend::llamacpp::none_chosen());
    }
    // A server that runs already says it itself.
    backend::ollama::not_installed(&plan.backend, first, &places.home).map_or(Ok(()), Err)
}

/// A repository that was just cloned downloads nothing, whatever else the user said yes to.
///
/// `untrusted`: the project's file that chooses what is used without the user's word.
pub fn refuse_download(untrusted: Option<&Path>, model: &str) -> Result<()> {
    match untrusted {
        None => Ok(()),
        Some(file) => Err(Failure::new(Code::Refused, format!("{model} is not installed"))
            .why(format!("{} chooses what is used, and without your word none is downloaded for it", file.display()))
            .help("lclaude local trust")
            .help(format!("or by your own word: lclaude --model {model}"))),
    }
}

/// All that the user and the project say, with a warning for what nobody understands.
pub fn settings(choice: &Choice, overrides: &Overrides, places: &Places) -> Result<Settings> {
    warn(places);
    let project = Project::find(&plan::here()?, places)?;
    own_settings(choice, overrides, project.as_ref(), places)
}

/// Starts lclaude's own log, and warns of what nobody understands.
pub fn warn(places: &Places) {
    for warning in config::unknown_variables() {
        ui::say(warning);
    }
    if let Some(warning) = trace::start(&places.state) {
        ui::say(format_args!("lclaude: warning: {warning}"));
    }
}

/// The same with another project's file, or without any.
pub fn own_settings(
    choice: &Choice,
    overrides: &Overrides,
    project: Option<&Project>,
    places: &Places,
) -> Result<Settings> {
    let file = choice.config.as_deref();
    config::load(file.unwrap_or(&places.config_file), file.is_some(), project, overrides)
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
fn direct(settings: &Settings, places: &Places, typed: &cli::Session) -> Result<u8> {
    let program = claude::find(settings, &places.home, &plan::here()?)?;
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
    let theirs = Places::find().and_then(|places| {
        let settings = config::load(&places.config_file, false, None, &Overrides::default())?;
        claude::find(&settings, &places.home, &plan::here()?)
    });
    match theirs.map(|program| claude::output(&program, argument)) {
        Ok(Some(theirs)) => text.push_str(&format!("\n{theirs}\n")),
        Ok(None) => {}
        Err(failure) => text.push_str(&format!("\n{failure}\n")),
    }
    ui::print(&text);
    Ok(0)
}
