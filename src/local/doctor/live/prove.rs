//! `--live`: the chosen backend is started as for a session, and the wiring proven with requests like Claude Code's and
//! with one turn of Claude Code itself. What was found is kept as a verdict.

use super::{proofs, turn};
use crate::backend::subject::Subject;
use crate::base::check::{Area, Check, State};
use crate::session::plan::Downloads;
use std::{
    cell::RefCell,
    path::{Path, PathBuf},
};

use super::requests::Client;
use crate::{
    backend::{self, BackendPlan},
    base::{
        error::{Code, Failure, Result},
        scratch::Scratch,
        signals::Signals,
        ui::Waiting,
    },
    keeper::{Event, Lease, Ready},
    session::{
        child::Child,
        plan::Plan,
        run,
        verdict::{Proven, Verdict, Verdicts},
    },
};

pub const AREA: Area = Area::Live;
/// What the verdict's line is called.
const LAST: &str = "last proof";

pub fn not_tried(why: &str) -> Check {
    Check::failure(AREA, "backend", "nothing could be proven")
        .why(why)
        .help("mend that, then lclaude local doctor --live")
}

/// What the last proof found of what would run now.
pub fn last(subject: &Subject<'_>, plan: Option<&BackendPlan>, claude: Option<&Path>) -> Check {
    let prove = "lclaude local doctor --live";
    let none = |found: &str| Check::ok(AREA, LAST, format!("{found}; {prove} proves it"));
    let (Some(plan), Some(claude)) = (plan, claude) else {
        return none("not possible yet");
    };
    match Verdicts::read(&subject.environment.places.state).of(&Proven::of(plan, claude)) {
        None => none("none of this backend, model, context and Claude Code"),
        Some(Verdict { date, complaints, .. }) if complaints.is_empty() => {
            Check::ok(AREA, LAST, format!("on {date}, and nothing was wrong"))
        }
        Some(Verdict { date, complaints, .. }) => {
            Check::warning(AREA, LAST, format!("on {date}: {}", complaints.join("; "))).help(prove)
        }
    }
}

/// Gives an exit code if a signal put an end to it.
pub async fn check(
    subject: &Subject<'_>,
    claude: Option<PathBuf>,
    checks: &mut Vec<Check>,
    signals: &mut Signals,
) -> Option<u8> {
    let planned = async {
        let plan = Plan::new(subject.settings.clone(), subject.environment.clone())?;
        let missing = if plan.is_up() {
            Vec::new()
        } else {
            // Whether it is tight was said before.
            plan.weigh()?;
            plan.missing().await
        };
        if let Some(model) = missing.first() {
            backend::refuse_download(plan.untrusted(), model)?;
            if !subject.yes {
                return Err(Failure::new(Code::Unavailable, "nothing could be proven")
                    .why(format!("{model} is not installed"))
                    .help("lclaude local doctor --live --yes downloads it"));
            }
        }
        Ok(plan)
    };
    let plan = match planned.await {
        Ok(plan) => plan,
        Err(failure) => {
            checks.push(Check::failed(AREA, "backend", &failure));
            return None;
        }
    };
    let turn = turn::child(subject);
    let done = RefCell::new(Vec::new());
    let ended = started(&plan, subject, turn.as_ref().ok(), &done, signals).await;
    let mut done = done.into_inner();
    match ended {
        Ok(Some(code)) => {
            checks.append(&mut done);
            return Some(code);
        }
        Ok(None) => {
            if let Some(claude) = claude {
                keep(subject, Proven::of(&plan.backend, &claude), checks, &mut done);
            }
        }
        Err(failure) => done.insert(0, Check::failed(AREA, "backend", &failure)),
    }
    checks.append(&mut done);
    None
}

/// Brings the backend up, proves it, and lets go of it.
async fn started(
    plan: &Plan,
    subject: &Subject<'_>,
    turn: Option<&Child>,
    done: &RefCell<Vec<Check>>,
    signals: &mut Signals,
) -> Result<Option<u8>> {
    subject.environment.places.ready_runtime()?;
    let downloads = if subject.yes { Downloads::Agreed } else { Downloads::NotAgreed };
    let scratch = Scratch::make(plan.runtime())?;
    let Some((mut lease, ready)) = run::backend_up(plan, downloads, scratch.path(), signals).await? else {
        return Ok(Some(signals.exit_code()));
    };
    let interrupted = tokio::select! {
        () = prove(plan, &ready, scratch.path(), turn, done) => None,
        failure = lost(&mut lease) => {
            done.borrow_mut().push(Check::failed(AREA, "backend lost", &failure));
            None
        }
        _ = signals.next() => Some(signals.exit_code()),
    };
    lease.release().await;
    Ok(interrupted)
}

/// Until the backend is down for good.
pub async fn lost(lease: &mut Lease) -> Failure {
    loop {
        if let Event::Failed { failure } = lease.event().await {
            return failure;
        }
    }
}

async fn prove(plan: &Plan, ready: &Ready, scratch: &Path, turn: Option<&Child>, done: &RefCell<Vec<Check>>) {
    let push = |check: Check| done.borrow_mut().push(check.map_text(|text| ready.endpoint.hushed(&text)));
    let served = &ready.served;
    let model = &plan.backend.models[0];
    push(Check::ok(
        AREA,
        "backend",
        format!("{} is up, with {}", plan.backend.kind, served.contexts(plan.backend.context)),
    ));
    match plan.judge(served) {
        Ok(words) => fitness(&words).into_iter().for_each(push),
        Err(failure) => push(Check::failed(AREA, "fitness", &failure)),
    }
    let client = Client::new(&ready.endpoint, model, served.thinking);
    let mut waiting = Waiting::new();
    let mut show = |what: &str| waiting.show("proving", None, what);
    show("a message");
    let message = proofs::message(&client).await;
    let answers = message.state == State::Ok;
    push(message);
    if !answers {
        // Each of the others would wait in vain, or complain of the same.
        return;
    }
    show("streaming");
    push(proofs::streaming(&client).await);
    show("a tool call");
    let (check, call) = proofs::tool_call(&client).await;
    push(check);
    show("a tool's result");
    push(proofs::tool_result(&client, call).await);
    show("a system prompt and a beta header");
    push(proofs::system_and_beta(&client).await);
    show("a wrong model");
    push(proofs::wrong_model(&client).await);
    show("an over-long prompt");
    push(proofs::overflow(&client, served.context.max(plan.backend.context)).await);
    show("its speed");
    for check in proofs::speed(&client, &plan.backend, ready).await {
        push(check);
    }
    if let Some(child) = turn {
        show("a turn of Claude Code");
        push(turn::check(child, plan, ready, scratch).await);
    }
}

/// What a session would be warned of, in one line.
fn fitness(words: &[String]) -> Option<Check> {
    let warnings: Vec<&str> = words.iter().filter_map(|words| words.strip_prefix("warning: ")).collect();
    let found: Vec<&str> = warnings.iter().filter_map(|words| words.lines().next()).collect();
    let help = warnings.iter().flat_map(|words| words.lines().skip(1));
    let check = (!found.is_empty()).then(|| Check::warning(AREA, "fitness", found.join("; ")))?;
    Some(help.fold(check, |check, line| check.help(line.trim().trim_start_matches("help: "))))
}

/// Remembers what was found, for the start of a later session.
fn keep(subject: &Subject<'_>, proven: Proven, before: &[Check], done: &mut Vec<Check>) {
    let version = before.iter().find(|check| (check.area, check.name) == (Area::Claude, "version"));
    let complaints = done.iter().filter(|check| check.state == State::Failure).map(|check| check.found.clone());
    let verdict = Verdict::new(proven, version.map(|check| check.found.clone()), complaints.collect());
    if let Err(failure) = Verdicts::add(&subject.environment.places.state, verdict) {
        done.push(Check { state: State::Warning, ..Check::failed(AREA, "verdict", &failure) });
    }
}
