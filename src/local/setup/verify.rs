//! The last step: tests that the backend answers, calls a tool, and serves a turn of the real Claude Code. The tests
//! are doctor's.

use std::path::Path;

use super::step::{Action, Step, indented};
use crate::{
    backend::{registry, subject::Subject},
    base::{
        check::{Check, Severity},
        error::{Code, Failure, Result},
        progress::ProgressLine,
        signals::Signals,
        ui,
    },
    claude,
    config::Kind,
    keeper::{Lease, Ready},
    local::doctor::live::{lost, probes, requests::ApiClient, turn},
    session::{
        child::Child,
        plan::Plan,
        verdict::{Verdict, VerdictKey, Verdicts},
    },
};

pub(crate) fn step(kind: Kind) -> Step {
    let server = if registry::backend(kind).needs_keeper() {
        format!("start {kind} as a session does")
    } else {
        "connect to the server at its URL".to_owned()
    };
    let tests = vec![
        server,
        "send it a message and a request for a tool call".into(),
        format!("run Claude Code on one task in an empty directory: {}", probes::TASK),
        "stop what was started".into(),
    ];
    Step { title: "verify", found: Vec::new(), actions: vec![Action::Verify(tests)] }
}

/// Runs the tests and prints each result. Returns `None` if a signal interrupted them.
///
/// # Errors
/// The first failed test, or the loss of the backend.
pub(crate) async fn run(
    subject: &Subject<'_>,
    plan: &Plan,
    ready: &Ready,
    lease: &mut Lease,
    scratch: &Path,
    signals: &mut Signals,
) -> Result<Option<()>> {
    for message in plan.check_served(&ready.served)? {
        ui::message_lines(indented(message));
    }
    let contexts = ready.served.contexts(plan.backend.context);
    ui::message(indented(format_args!("{} is running with {contexts}", plan.backend.kind)));
    let claude = turn::child(subject)?;
    tokio::select! {
        result = run_tests(&claude, plan, ready, scratch) => {
            save_verdict(subject, plan, result.as_ref().err());
            result.map(Some)
        }
        failure = lost(lease) => Err(failure),
        _ = signals.next() => Ok(None),
    }
}

/// Saves the result as `lclaude local doctor --live` does, for later sessions and `doctor`.
fn save_verdict(subject: &Subject<'_>, plan: &Plan, failed: Option<&Failure>) {
    let Ok(claude) = claude::find(subject.settings, subject.environment) else {
        return;
    };
    let complaints = failed.map(|failure| failure.what.clone()).into_iter().collect();
    let verdict = Verdict::new(VerdictKey::of(&plan.backend, &claude), None, complaints);
    if let Err(failure) = Verdicts::add(&subject.environment.places.state, verdict) {
        ui::message_lines(failure);
    }
}

async fn run_tests(claude: &Child, plan: &Plan, ready: &Ready, scratch: &Path) -> Result<()> {
    let client = ApiClient::new(&ready.endpoint, &plan.backend.models[0], ready.served.thinking);
    let mut waiting = ProgressLine::new();
    waiting.show("verifying (a message)", None, "");
    let message = probes::message(&client).await;
    report(&mut waiting, message.map_text(|text| ready.endpoint.masked(&text)))?;
    waiting.show("verifying (a tool call)", None, "");
    let (call, _) = probes::tool_call(&client).await;
    report(&mut waiting, call.map_text(|text| ready.endpoint.masked(&text)))?;
    waiting.show("verifying (speed)", None, "");
    for check in probes::speed(&client, &plan.backend, ready).await {
        // A slow backend still works.
        let state = if check.state == Severity::Failure { Severity::Warning } else { check.state };
        report(&mut waiting, Check { state, ..check }.map_text(|text| ready.endpoint.masked(&text)))?;
    }
    waiting.show("verifying (a turn of Claude Code; its system prompt is long)", None, "");
    let turn = turn::check(claude, plan, ready, scratch).await;
    report(&mut waiting, turn.map_text(|text| ready.endpoint.masked(&text)))
}

/// Prints the result of a check.
///
/// # Errors
/// The failure if the check failed.
fn report(waiting: &mut ProgressLine, check: Check) -> Result<()> {
    // Clears the live line, which would otherwise stay on the screen.
    *waiting = ProgressLine::new();
    let Check { name, state, found, why, log, help, .. } = check;
    if state == Severity::Failure {
        let failure = Failure::new(Code::Unavailable, found).log_tail(log);
        let failure = why.into_iter().fold(failure, Failure::cause);
        return Err(failure.helps(help).help("lclaude local doctor --live"));
    }
    let warning = if state == Severity::Warning { "warning: " } else { "" };
    let why = why.map(|why| format!("\n  cause: {}", ui::one_line(why))).unwrap_or_default();
    let help = help.iter().map(|help| format!("\n  help: {}", ui::one_line(help))).collect::<String>();
    ui::message_lines(indented(format_args!("{warning}{name}: {}{why}{help}", ui::one_line(found))));
    Ok(())
}
