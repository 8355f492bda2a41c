//! `lclaude local stop`: ends backends that are up, and what killed keepers have left.

use crate::cli::Stop;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::which::Said;
use crate::{
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        process::Identity,
        ui,
    },
    keeper::{self, Report, Session, Stopped},
    launch,
};

/// How long sessions have to end their Claude Code once its backend has gone.
const FAREWELL: Duration = Duration::from_secs(5);

pub fn run(arguments: Stop) -> Result<u8> {
    let environment = Environment::read()?;
    let said = arguments.which.read(&environment)?;
    let runtime = launch::event_loop()?;
    let ended = runtime.block_on(async {
        let up = keeper::survey(environment.places.runtime()?).await;
        if up.is_empty() {
            ui::say("lclaude: no backend is up");
            return Ok(0);
        }
        // What is refused of one says nothing about the others.
        let mut failures = Vec::new();
        for report in chosen(up, said, arguments.all)? {
            failures.extend(end(&report, arguments.which.choice.choice.yes, &environment).await.err());
        }
        let mut failures = failures.into_iter();
        let first = failures.next().map_or(Ok(0), Err);
        failures.for_each(ui::say);
        first
    });
    // Not by dropping it: a thread may still wait for a lock that another process holds.
    runtime.shutdown_background();
    ended
}

fn chosen(mut up: Vec<Report>, said: Said, all: bool) -> Result<Vec<Report>> {
    let matching = match &said {
        Said::Id(start) => up.iter().filter(|report| report.about.id.starts_with(start)).count(),
        Said::Plan(id) => up.iter().filter(|report| report.about.id == *id).count(),
        Said::Nothing if all || up.len() == 1 => return Ok(up),
        Said::Nothing => return which_of(up),
    };
    if matching == 0 {
        let what = match &said {
            Said::Id(start) => format!("no backend is up whose id begins with {start}"),
            _ => "the backend that these options choose is not up".into(),
        };
        let failure = Failure::new(Code::Usage, what).why(format!("up: {}", names(&up).join("; ")));
        return Err(commands(&up, failure));
    }
    up.retain(|report| match &said {
        Said::Id(start) => report.about.id.starts_with(start),
        Said::Plan(id) => report.about.id == *id,
        Said::Nothing => true,
    });
    if up.len() == 1 { Ok(up) } else { which_of(up) }
}

/// Asks, where there is somebody to ask.
fn which_of(mut up: Vec<Report>) -> Result<Vec<Report>> {
    let several = Failure::new(Code::Usage, format!("{} backends are up", up.len())).why(names(&up).join("; "));
    let several = commands(&up, several).help("lclaude local stop --all");
    if !ui::can_ask() {
        return Err(several);
    }
    for (at, name) in names(&up).iter().enumerate() {
        ui::say(format_args!("{}  {name}", at + 1));
    }
    let answer = ui::ask(&format!("Which one is to end? [1-{}]", up.len()));
    let number = answer.and_then(|answer| answer.parse::<usize>().ok());
    match number.filter(|number| (1..=up.len()).contains(number)) {
        Some(number) => Ok(vec![up.swap_remove(number - 1)]),
        None => Err(several),
    }
}

async fn end(report: &Report, yes: bool, environment: &Environment) -> Result<()> {
    let (id, name) = (&report.about.id, name(report));
    let mut stopped = keeper::stop(environment.places.runtime()?, id, yes).await?;
    let question = match &stopped {
        Stopped::InUse(sessions) => Some(format!("{} {name}", used_by(sessions))),
        Stopped::NoAnswer => Some(format!("the keeper of {name} does not answer, so sessions may be using it")),
        Stopped::Gone(_) | Stopped::NotThere => None,
    };
    if let Some(why) = question {
        if !ui::agrees(&format!("{why}. End it all the same?")) {
            return Err(Failure::new(Code::Refused, format!("{name} was not ended"))
                .why(why)
                .help(format!("lclaude local stop {} --yes ends it all the same", report.short_id())));
        }
        stopped = keeper::stop(environment.places.runtime()?, id, true).await?;
    }
    match stopped {
        Stopped::Gone(told) => {
            ui::say(format_args!("lclaude: ended {name}"));
            wait_for_end(&told).await;
        }
        _ => ui::say(format_args!("lclaude: {name} had ended already")),
    }
    Ok(())
}

/// They have heard of it, and end by themselves.
async fn wait_for_end(sessions: &[Identity]) {
    let deadline = Instant::now() + FAREWELL;
    while sessions.iter().any(|session| session.is_alive()) && Instant::now() < deadline {
        sleep(Duration::from_millis(5)).await;
    }
    for session in sessions.iter().filter(|session| session.is_alive()) {
        ui::say(format_args!(
            "lclaude: session {} has not ended yet; one that is suspended ends when it goes on",
            session.pid
        ));
    }
}

/// `llamacpp with tiny (3f2a9c1e)`.
fn name(report: &Report) -> String {
    format!("{} with {} ({})", report.about.kind, report.about.models.join(", "), report.short_id())
}

fn names(up: &[Report]) -> Vec<String> {
    up.iter().map(name).collect()
}

/// `session 12 in /a and session 13 in /b are using`.
fn used_by(sessions: &[Session]) -> String {
    let each: Vec<String> =
        sessions.iter().map(|session| format!("session {} in {}", session.pid, session.directory)).collect();
    match each.len() {
        0 => "a session is about to use".into(),
        1 => format!("{} is using", each[0]),
        _ => format!("{} are using", each.join(" and ")),
    }
}

fn commands(up: &[Report], failure: Failure) -> Failure {
    up.iter().fold(failure, |failure, report| failure.help(format!("lclaude local stop {}", report.short_id())))
}
