//! The last step: the backend answers, calls a tool, and carries a turn of the real Claude Code. The proofs are doctor's.

use crate::backend::registry;
use crate::backend::subject::Subject;
use crate::base::check::{Check, State};
use std::path::Path;

use super::step::{Action, Step, indented};
use crate::{
    base::{
        error::{Code, Failure, Result},
        signals::Signals,
        ui::{self, Waiting},
    },
    config::Kind,
    keeper::{Lease, Ready},
    local::doctor::live::{lost, proofs, requests::Client, turn},
    session::plan::Plan,
};

pub fn step(kind: Kind) -> Step {
    let server = if registry::backend(kind).needs_keeper() {
        format!("start {kind} as a session does")
    } else {
        "ask the server at its URL".to_owned()
    };
    let words = vec![
        server,
        "send it a message and a request for a tool call".into(),
        format!("have Claude Code carry out one task in an empty directory: {}", proofs::TASK),
        "end what was started".into(),
    ];
    Step { title: "verify", found: Vec::new(), actions: vec![Action::Verify(words)] }
}

/// Whether it all works, told as it is found out; `None` when a signal came first.
pub async fn run(
    subject: &Subject<'_>,
    plan: &Plan,
    ready: &Ready,
    lease: &mut Lease,
    scratch: &Path,
    signals: &mut Signals,
) -> Result<Option<()>> {
    for words in plan.judge(&ready.served)? {
        ui::say(indented(words));
    }
    let contexts = ready.served.contexts(plan.backend.context);
    ui::say(indented(format_args!("{} is up with {contexts}", plan.backend.kind)));
    tokio::select! {
        proven = prove(subject, plan, ready, scratch) => proven.map(Some),
        failure = lost(lease) => Err(failure),
        _ = signals.next() => Ok(None),
    }
}

async fn prove(subject: &Subject<'_>, plan: &Plan, ready: &Ready, scratch: &Path) -> Result<()> {
    let claude = turn::child(subject)?;
    let client = Client::new(&ready.endpoint, &plan.backend.models[0], ready.served.thinking);
    let mut waiting = Waiting::new();
    waiting.show("verifying", None, "a message");
    let message = proofs::message(&client).await;
    tell(&mut waiting, message.map_text(|text| ready.endpoint.hushed(&text)))?;
    waiting.show("verifying", None, "a tool call");
    let (call, _) = proofs::tool_call(&client).await;
    tell(&mut waiting, call.map_text(|text| ready.endpoint.hushed(&text)))?;
    waiting.show("verifying", None, "its speed");
    for check in proofs::speed(&client, &plan.backend, ready).await {
        // It works at any speed.
        let state = if check.state == State::Failure { State::Warning } else { check.state };
        tell(&mut waiting, Check { state, ..check }.map_text(|text| ready.endpoint.hushed(&text)))?;
    }
    waiting.show("verifying", None, "a turn of Claude Code, whose own prompt is long");
    let turn = turn::check(&claude, plan, ready, scratch).await;
    tell(&mut waiting, turn.map_text(|text| ready.endpoint.hushed(&text)))
}

/// Says what was found.
///
/// # Errors
/// A check that failed.
fn tell(waiting: &mut Waiting, check: Check) -> Result<()> {
    // The live line goes first, or it would be left on the screen.
    *waiting = Waiting::new();
    let Check { name, state, found, why, log, help, .. } = check;
    if state == State::Failure {
        let failure = Failure::new(Code::Unavailable, found).log_tail(log);
        let failure = why.into_iter().fold(failure, Failure::why);
        return Err(help.into_iter().fold(failure, Failure::help).help("lclaude local doctor --live says more"));
    }
    let warning = if state == State::Warning { "warning: " } else { "" };
    let (why, help) = (why.map(|why| format!("\n  why: {why}")), help.iter().map(|help| format!("\n  help: {help}")));
    ui::say(indented(format_args!("{warning}{name}: {found}{}{}", why.unwrap_or_default(), help.collect::<String>())));
    Ok(())
}
