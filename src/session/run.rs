//! Runs a session: takes a lease on the backend, waits until it is ready, runs the child with the routing in its
//! environment, and releases the lease when the child exits.

use std::path::Path;

use tokio::time::timeout;

use super::{
    child::Child,
    left_out,
    plan::{Downloads, Plan},
    reading::ReadingLine,
    warmth::Warmth,
    watch::{Ended, exit, watch},
};
use crate::{
    backend::MissingModel,
    base::{
        error::Result, exit::Exit, process::Terminal, progress::ProgressLine, scratch::Scratch, signals::Signals, ui,
        wait::WORD_AFTER,
    },
    claude::{Throwaway, user_files},
    keeper::{self, Event, Lease, Ready, StartRequest},
};

/// What came of a session, or of another job that needs a backend.
pub(crate) enum Outcome {
    /// It ended, and lclaude ends like this.
    Exited(Exit),
    /// It needs a model that must be downloaded first.
    ModelMissing(MissingModel),
}

/// What came of a request for a backend.
pub(crate) enum BackendUp {
    /// The lease must be released, whatever happens next.
    Ready(Box<Lease>, Ready),
    ModelMissing(MissingModel),
    /// A signal came first.
    Interrupted,
}

/// Runs one session. lclaude then ends as the child did, or by the signal that interrupted it before that.
pub(crate) async fn run(plan: &Plan, child: &Child, downloads: Downloads, signals: &mut Signals) -> Result<Outcome> {
    let scratch = Scratch::make(plan.runtime())?;
    let warm = child.claude().and_then(|claude| plan.warm_start(claude));
    let start = StartRequest { warm: warm.clone(), ..plan.start(downloads) };
    let lease = Box::new(Lease::new(start, scratch.path()).watching(ReadingLine::is_wanted(child)));
    let (mut lease, ready) = match backend_up(plan, lease, signals).await? {
        BackendUp::Ready(lease, ready) => (lease, ready),
        BackendUp::ModelMissing(missing) => return Ok(Outcome::ModelMissing(missing)),
        BackendUp::Interrupted => return Ok(Outcome::Exited(signals.exit())),
    };
    let warmth = warm.and_then(|warm| Warmth::start(warm, scratch.path()));
    let ended = run_child(plan, child, &ready, &mut lease, warmth, scratch.path(), signals).await;
    user_files::restore(scratch.path());
    // Before the release, so that the keeper finds nothing to remove.
    remove(scratch, signals).await;
    release(*lease, signals).await;
    print_kept_home(child);
    ended.map(Outcome::Exited)
}

/// Takes the lease on the backend and waits until it is ready.
pub(crate) async fn backend_up(plan: &Plan, mut lease: Box<Lease>, signals: &mut Signals) -> Result<BackendUp> {
    let up = tokio::select! {
        up = wait_until_ready(&mut lease, plan) => up,
        _ = signals.next() => Ok(Wait::Interrupted),
    };
    let other = match up {
        Ok(Wait::Ready(ready)) => return Ok(BackendUp::Ready(lease, ready)),
        Ok(Wait::ModelMissing(missing)) => Ok(BackendUp::ModelMissing(missing)),
        Ok(Wait::Interrupted) => Ok(BackendUp::Interrupted),
        Err(failure) => Err(failure),
    };
    release(*lease, signals).await;
    other
}

/// Releases the lease, and waits until what only this session used is gone. A signal leaves that to the keeper, once the
/// user knows what is waited for.
pub(crate) async fn release(lease: Lease, signals: &mut Signals) {
    wait_at_end(lease.release(), "waiting for the backend to end", signals).await;
}

/// Removes the private directory. A signal leaves the rest to a keeper, once the user knows what is waited for.
pub(crate) async fn remove(scratch: Scratch, signals: &mut Signals) {
    wait_at_end(scratch.remove(), "removing this session's temporary files", signals).await;
}

/// Waits at the end of a session. After a second it prints what for, and then a signal ends the wait.
async fn wait_at_end(done: impl Future<Output = ()>, what: &str, signals: &mut Signals) {
    let mut done = std::pin::pin!(done);
    if timeout(WORD_AFTER, &mut done).await.is_ok() {
        return;
    }
    // The signal that ended the session may have come twice.
    signals.forget().await;
    ui::note(format_args!("lclaude: {what} (Ctrl-C to stop waiting)"));
    tokio::select! {
        () = done => {}
        _ = signals.next() => {}
    }
}

/// How the wait for a backend ended.
enum Wait {
    Ready(Ready),
    ModelMissing(MissingModel),
    Interrupted,
}

/// Prints the path of a throwaway home that is kept.
fn print_kept_home(child: &Child) {
    if let Some(home) = child.throwaway().and_then(Throwaway::kept).filter(|home| home.exists()) {
        ui::message(format_args!("lclaude: kept this session's home: {}", home.display()));
    }
}

/// Waits until the model can answer, and shows the progress.
async fn wait_until_ready(lease: &mut Lease, plan: &Plan) -> Result<Wait> {
    let mut waiting = ProgressLine::new();
    let mut was_started = false;
    loop {
        match lease.event().await {
            Event::Ready(ready) => return Ok(Wait::Ready(ready)),
            Event::ModelMissing(missing) => return Ok(Wait::ModelMissing(missing)),
            Event::Failed { failure } | Event::Refused { failure } => return Err(failure),
            Event::Progress(progress) => waiting.show(&progress.stage, progress.fraction, &progress.detail),
            Event::Restarting { reason } => waiting.show(&format!("restarting the backend ({reason})"), None, ""),
            Event::Waiting { reason } => waiting.show(&reason, None, ""),
            Event::Activity(_) => {}
            Event::Queued | Event::Starting | Event::Listening | Event::Stopping | Event::Released => {
                if !std::mem::replace(&mut was_started, true) {
                    report_other_versions(lease.start());
                }
                waiting.show(&plan.backend.first_step(), None, "");
            }
        }
    }
}

/// Tells the user that another version of lclaude has the same backend up.
fn report_other_versions(start: &StartRequest) {
    for (version, keeper) in keeper::find_other_versions(start) {
        ui::note(format_args!(
            "lclaude: lclaude {version} is also running this backend (keeper {keeper}); starting a separate one"
        ));
    }
}

/// Prints the notes and warnings about a backend that is ready.
///
/// `is_claude`: whether the child is Claude Code, whose arguments lclaude sets.
pub(crate) fn print_notes(plan: &Plan, ready: &Ready, is_claude: bool) -> Result<()> {
    for warning in plan.check_served(&ready.served)? {
        ui::message_lines(format_args!("lclaude: {warning}"));
    }
    if let Some(note) = plan.lean_note(&ready.served, is_claude) {
        ui::note_lines(format_args!("lclaude: {note}"));
    }
    Ok(())
}

/// Runs the child until it exits or its backend fails. Only the child's environment has the routing.
async fn run_child(
    plan: &Plan,
    child: &Child,
    ready: &Ready,
    lease: &mut Lease,
    mut warmth: Option<Warmth>,
    scratch: &Path,
    signals: &mut Signals,
) -> Result<Exit> {
    print_notes(plan, ready, child.claude().is_some())?;
    if let Some(session) = child.claude() {
        if let Some(warning) = plan.verdict(&session.program) {
            ui::message_lines(format_args!("lclaude: {warning}"));
        }
        let left_out = session.left_out(plan.tools(&ready.served));
        left_out::print_once(&left_out, &plan.environment().places.state, session.throwaway.is_none());
    }
    let mut routed = plan.route(&ready.endpoint, &ready.served, child.claude().is_some());
    routed.table.extend(warmth.as_ref().map(Warmth::variable));
    if child.throwaway().is_none() {
        user_files::record(plan.environment(), routed.tiers(), routed.others(), scratch, plan.places());
    }
    let terminal = Terminal::save();
    let (name, resume_hint) = (child.name(), child.resume_hint());
    let mut reading = ReadingLine::default();
    let mut child = child.spawn(&routed, scratch)?;
    tracing::info!(pid = std::process::id(), name, child = ?child.id(), backend = ?ready.endpoint, "child started");
    let ended = watch(&mut child, &name, lease, &mut warmth, ready.endpoint.port, &mut reading, signals).await;
    if !ended.as_ref().is_ok_and(|ended| ended.status.code().is_some()) {
        terminal.restore();
    }
    let Ended { status, crashes } = ended.map_err(|failure| match resume_hint {
        Some(help) => failure.help(help),
        None => failure,
    })?;
    if crashes > 0 {
        let times = if crashes == 1 { "once".into() } else { format!("{crashes} times") };
        // A full disk leaves no log.
        let log = Some(plan.log()).filter(|log| log.exists()).map(|log| format!("; see {}", log.display()));
        let log = log.unwrap_or_default();
        ui::message(format_args!("lclaude: the backend crashed and was restarted {times}{log}"));
    }
    Ok(exit(status))
}
