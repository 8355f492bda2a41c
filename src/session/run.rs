//! The main job: start the chosen backend on a free port, wait for health, spawn Claude Code (or another program) with
//! the routing in that one child, and tear everything down on exit.

use std::{os::unix::process::ExitStatusExt, path::Path, process::ExitStatus, time::Duration};

use rustix::process::Signal;
use tokio::{process, time::timeout};

use super::{
    child::Child,
    plan::{Downloads, Plan},
};
use crate::{
    base::{
        error::{Code, Failure, Result},
        process::{Identity, Terminal, in_foreground},
        scratch::Scratch,
        signals::Signals,
        ui::{self, Waiting},
    },
    claude::Throwaway,
    keeper::{self, Event, Lease, Ready, Start},
};

/// How long the child has to say goodbye when its backend is lost for good.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long a start that is given up before there is a lease may take to be undone.
const UNDOING: Duration = Duration::from_secs(2);

/// Runs one session and returns its exit code: the child's own, or 128+N if signal N ended it or us.
pub async fn run(plan: &Plan, child: &Child, downloads: Downloads, signals: &mut Signals) -> Result<u8> {
    let scratch = Scratch::make(plan.runtime())?;
    let Some((mut lease, ready)) = backend_up(plan, downloads, scratch.path(), signals).await? else {
        return Ok(signals.exit_code());
    };
    let ended = run_child(plan, child, &ready, &mut lease, scratch.path(), signals).await;
    lease.release().await;
    say_what_is_kept(child);
    ended
}

/// A lease on a backend that answers; `None` when a signal came first. To be released whatever happens next.
pub async fn backend_up(
    plan: &Plan,
    downloads: Downloads,
    scratch: &Path,
    signals: &mut Signals,
) -> Result<Option<(Lease, Ready)>> {
    let start = plan.start(downloads);
    let Some(mut lease) = start_backend(start.clone(), scratch, signals).await? else {
        return Ok(None);
    };
    let ready = tokio::select! {
        ready = wait_for_health(&mut lease, plan, &start) => ready.map(Some),
        _ = signals.next() => Ok(None),
    };
    match ready {
        Ok(Some(ready)) => Ok(Some((lease, ready))),
        other => {
            lease.release().await;
            other.map(|_| None)
        }
    }
}

/// Where a throwaway session's home is, if it was made and is to stay.
fn say_what_is_kept(child: &Child) {
    if let Some(home) = child.throwaway().and_then(Throwaway::kept).filter(|home| home.exists()) {
        ui::say(format_args!("lclaude: this session's home is kept: {}", home.display()));
    }
}

/// A lease on the backend, which is started if it does not run yet; `None` when a signal came first.
async fn start_backend(start: Start, scratch: &Path, signals: &mut Signals) -> Result<Option<Lease>> {
    let mut taking = std::pin::pin!(Lease::take(start.clone(), scratch));
    tokio::select! {
        lease = &mut taking => lease.map(Some),
        _ = signals.next() => {
            match timeout(UNDOING, taking).await {
                Ok(Ok(lease)) => lease.release().await,
                _ => Lease::give_up(&start).await,
            }
            Ok(None)
        }
    }
}

/// Waits until the model can answer, and shows what it waits for.
async fn wait_for_health(lease: &mut Lease, plan: &Plan, start: &Start) -> Result<Ready> {
    let mut waiting = Waiting::new();
    loop {
        match lease.event().await {
            Event::Ready(ready) => return Ok(ready),
            Event::Failed { failure } => return Err(failure),
            Event::Progress(progress) => waiting.show(&progress.stage, progress.fraction, &progress.detail),
            Event::Restarting { reason } => waiting.show("starting the backend again", None, &reason),
            event @ (Event::Starting | Event::Stopping | Event::Released) => {
                if event == Event::Starting {
                    say_who_else_serves_it(start);
                }
                waiting.show(&format!("starting {}", plan.backend.kind), None, &plan.backend.models.join(", "));
            }
        }
    }
}

/// Only where a backend is started, which takes longer than this look.
fn say_who_else_serves_it(start: &Start) {
    for (version, keeper) in keeper::of_other_versions(start) {
        ui::say(format_args!(
            "lclaude: sessions of lclaude {version} have this backend up too (keeper {keeper}); this one starts its own"
        ));
    }
}

/// Says what the user should know of the backend before it is used.
///
/// `whole`: the child is Claude Code, whose arguments are ours to give.
pub fn say_what_it_has(plan: &Plan, ready: &Ready, whole: bool) -> Result<()> {
    for words in plan.judge(&ready.served)?.into_iter().chain(plan.lean_words(&ready.served, whole)) {
        ui::say(format_args!("lclaude: {words}"));
    }
    Ok(())
}

/// Runs the child, with the routing in it alone, until it ends or has to be ended.
async fn run_child(
    plan: &Plan,
    child: &Child,
    ready: &Ready,
    lease: &mut Lease,
    scratch: &Path,
    signals: &mut Signals,
) -> Result<u8> {
    say_what_it_has(plan, ready, matches!(child, Child::ClaudeCode(_)))?;
    if let Child::ClaudeCode(session) = child
        && let Some(warning) = plan.verdict(&session.program)
    {
        ui::say(format_args!("lclaude: {warning}"));
    }
    let routed = plan.routing.route(&ready.endpoint, &ready.served, plan.is_lean(&ready.served));
    let terminal = Terminal::save();
    let (name, goes_on) = (child.name(), child.goes_on());
    let mut child = child.spawn(&routed, scratch)?;
    tracing::info!(pid = std::process::id(), name, child = ?child.id(), backend = ?ready.endpoint, "child started");
    let ended = watch(&mut child, &name, lease, signals).await;
    if !ended.as_ref().is_ok_and(|ended| ended.status.code().is_some()) {
        terminal.restore();
    }
    let Ended { status, crashes } = ended.map_err(|failure| match goes_on {
        Some(help) => failure.help(help),
        None => failure,
    })?;
    if crashes > 0 {
        let log = plan.log().display();
        ui::say(format_args!("lclaude: the backend crashed and was started again, {crashes}×; see {log}"));
    }
    Ok(exit_code(status))
}

/// How the child ended, and how often its backend had to be started again meanwhile.
struct Ended {
    status: ExitStatus,
    crashes: u32,
}

/// Waits for the child, passes signals on to it, and ends it if its backend is lost for good.
async fn watch(child: &mut process::Child, name: &str, lease: &mut Lease, signals: &mut Signals) -> Result<Ended> {
    let identity = child.id().and_then(Identity::of);
    if let Some(identity) = identity {
        lease.guard(identity).await;
    }
    let mut crashes = 0;
    loop {
        // Not dropped for a signal: the lease may be about to be renewed.
        let mut event = std::pin::pin!(lease.event());
        let event = loop {
            tokio::select! {
                status = child.wait() => {
                    let failed = |error| {
                        Failure::new(Code::Bug, format!("{name} cannot be waited for")).why(error).help("please report it")
                    };
                    return Ok(Ended { status: status.map_err(failed)?, crashes });
                }
                signal = signals.next() => forward(signal, identity),
                event = &mut event => break event,
            }
        };
        match event {
            Event::Failed { failure } => {
                end(child, identity).await;
                return Err(failure);
            }
            Event::Restarting { .. } => crashes += 1,
            _ => {}
        }
    }
}

/// Passes a signal on, unless the terminal has sent it to the child as well.
pub fn forward(signal: Signal, child: Option<Identity>) {
    let from_keyboard = matches!(signal, Signal::INT | Signal::QUIT) && in_foreground();
    if let Some(child) = child.filter(|_| !from_keyboard) {
        child.signal(signal);
    }
}

async fn end(child: &mut process::Child, identity: Option<Identity>) {
    if let Some(identity) = identity {
        identity.signal(Signal::TERM);
        // It may be suspended.
        identity.signal(Signal::CONT);
    }
    if timeout(FAREWELL, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(Code::Bug as u8)
}
