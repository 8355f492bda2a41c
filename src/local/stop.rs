//! `lclaude local stop`: stops running backends, and cleans up after killed keepers.

use std::time::Duration;

use tokio::time::timeout;

use super::which::Target;
use crate::{
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        process::Identity,
        question::{self, Enter},
        ui,
        wait::{self, explained},
    },
    cli::StopArguments,
    keeper::{self, Report, SessionInfo, StopOutcome},
};

/// How long sessions may take to end Claude Code after their backend stopped.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) fn run(arguments: StopArguments) -> Result<u8> {
    let environment = Environment::read()?;
    let target = arguments.which.resolve(&environment)?;
    let runtime = wait::event_loop()?;
    let stopped = runtime.block_on(async {
        let up = keeper::list_backends(&environment.places.runtimes()?).await;
        if up.is_empty() {
            ui::message("lclaude: no backend is running");
            return Ok(0);
        }
        // A failure to stop one backend doesn't keep the others running.
        let mut failures = Vec::new();
        for report in select(up, target, arguments.all)? {
            failures.extend(stop(&report, arguments.which.choice.choice.yes).await.err());
        }
        let mut failures = failures.into_iter();
        let first = failures.next().map_or(Ok(0), Err);
        failures.for_each(ui::message_lines);
        first
    });
    // Dropping the runtime would wait for a thread that may be waiting for another process's lock.
    runtime.shutdown_background();
    stopped
}

fn select(mut up: Vec<Report>, target: Target, all: bool) -> Result<Vec<Report>> {
    let matching = match &target {
        Target::Id(start) => up.iter().filter(|report| report.about.id.starts_with(start)).count(),
        Target::Plan(id) => up.iter().filter(|report| report.about.id == *id).count(),
        Target::Unspecified if all || up.len() == 1 => return Ok(up),
        Target::Unspecified => return ask_which(up),
    };
    if matching == 0 {
        let what = match &target {
            Target::Id(start) => format!("no running backend has an ID that starts with {start}"),
            _ => "the selected backend is not running".into(),
        };
        let failure = Failure::new(Code::Usage, what).cause(format!("running: {}", names(&up).join("; ")));
        return Err(with_stop_commands(&up, failure));
    }
    up.retain(|report| match &target {
        Target::Id(start) => report.about.id.starts_with(start),
        Target::Plan(id) => report.about.id == *id,
        Target::Unspecified => true,
    });
    if up.len() == 1 { Ok(up) } else { ask_which(up) }
}

/// Asks which backend to stop.
///
/// # Errors
/// `Usage` if there is no terminal or the answer is invalid.
fn ask_which(mut up: Vec<Report>) -> Result<Vec<Report>> {
    let several = Failure::new(Code::Usage, format!("{} backends are running", up.len())).cause(names(&up).join("; "));
    let several = with_stop_commands(&up, several).help("lclaude local stop --all");
    if !ui::can_ask() {
        return Err(several);
    }
    for (at, name) in names(&up).iter().enumerate() {
        ui::message(format_args!("{}  {name}", at + 1));
    }
    let answer = ui::ask(&format!("Stop which one? [1-{}]", up.len()));
    let number = answer.and_then(|answer| answer.parse::<usize>().ok());
    match number.filter(|number| (1..=up.len()).contains(number)) {
        Some(number) => Ok(vec![up.swap_remove(number - 1)]),
        None => Err(several),
    }
}

async fn stop(report: &Report, yes: bool) -> Result<()> {
    let name = name(report);
    let mut stopped = end(report, &name, yes).await?;
    let question = match &stopped {
        StopOutcome::InUse(sessions) => Some(format!("{} {name}", used_by(sessions))),
        StopOutcome::NoAnswer => Some(format!("the keeper of {name} doesn't answer, so sessions may be using it")),
        StopOutcome::Gone(_) | StopOutcome::NotThere => None,
    };
    if let Some(why) = question {
        if !question::confirm(&format!("{why}. Stop it anyway?"), Enter::No) {
            return Err(Failure::new(Code::Refused, format!("{name} was not stopped"))
                .cause(why)
                .help(format!("lclaude local stop {} --yes", report.short_id())));
        }
        stopped = end(report, &name, true).await?;
    }
    match stopped {
        StopOutcome::Gone(sessions) => {
            ui::message(format_args!("lclaude: stopped {name}"));
            wait_for_exit(&sessions).await;
        }
        _ => ui::message(format_args!("lclaude: {name} was already stopped")),
    }
    Ok(())
}

/// Stops a backend, and says so after a second. After Ctrl-C the keeper finishes alone, or the next lclaude cleans up.
async fn end(report: &Report, name: &str, force: bool) -> Result<StopOutcome> {
    let stopped = keeper::stop(&report.runtime, &report.about.id, force);
    explained(stopped, || ui::note(format_args!("lclaude: waiting for {name} to end"))).await
}

/// Waits for sessions, which the keeper has notified, to exit.
async fn wait_for_exit(sessions: &[Identity]) {
    let ended = async {
        for session in sessions {
            session.ended().await;
        }
    };
    let ended = timeout(EXIT_TIMEOUT, ended);
    let _ = explained(ended, || ui::note("lclaude: waiting for the sessions to exit")).await;
    for session in sessions.iter().filter(|session| session.is_alive()) {
        ui::message(format_args!(
            "lclaude: session {} is still running; if it is suspended, it exits when you resume it",
            session.pid
        ));
    }
}

/// Returns a name for messages, such as `llamacpp with tiny (3f2a9c1e)`.
fn name(report: &Report) -> String {
    format!("{} with {} ({})", report.about.kind, report.about.models.join(", "), report.short_id())
}

fn names(up: &[Report]) -> Vec<String> {
    up.iter().map(name).collect()
}

/// Returns a phrase such as `session 12 in /a and session 13 in /b are using`.
fn used_by(sessions: &[SessionInfo]) -> String {
    let each: Vec<String> =
        sessions.iter().map(|session| format!("session {} in {}", session.pid, session.directory)).collect();
    match each.len() {
        0 => "a session is about to use".into(),
        1 => format!("{} is using", each[0]),
        _ => format!("{} are using", each.join(" and ")),
    }
}

fn with_stop_commands(up: &[Report], failure: Failure) -> Failure {
    up.iter().fold(failure, |failure, report| failure.help(format!("lclaude local stop {}", report.short_id())))
}
