//! Starts the chosen backend as a session does, tests it with requests like Claude Code's and with one turn of Claude
//! Code itself, and saves the result as a verdict for later sessions.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
};

use super::{probes, requests::ApiClient, turn};
use crate::{
    backend::{self, BackendPlan, MissingModel, subject::Subject},
    base::{
        check::{Area, Check, Severity},
        error::{Code, Failure, Result},
        exit::Exit,
        progress::ProgressLine,
        scratch::Scratch,
        signals::Signals,
    },
    keeper::{Event, Lease, Ready},
    session::{
        child::Child,
        plan::{Downloads, Plan},
        run::{self, BackendUp},
        verdict::{Verdict, VerdictKey, Verdicts},
    },
};

const AREA: Area = Area::Live;
/// The name of the check that shows the saved verdict.
const LAST: &str = "last proof";

/// Returns a failed check for live tests that were skipped.
pub(crate) fn skipped(why: &str) -> Check {
    Check::failure(AREA, "backend", "the live tests were skipped")
        .cause(why)
        .help("lclaude local doctor --live  # after fixing the errors")
}

/// Returns the last verdict on what a session would run now.
pub(crate) fn last_result(subject: &Subject<'_>, plan: Option<&BackendPlan>, claude: Option<&Path>) -> Check {
    let command = "lclaude local doctor --live";
    let none = |found: &str| Check::ok(AREA, LAST, format!("{found}; to run the live tests: {command}"));
    let (Some(plan), Some(claude)) = (plan, claude) else {
        return none("none, because a session can't start yet");
    };
    match Verdicts::read(&subject.environment.places.state).get(|| VerdictKey::of(plan, claude)) {
        None => none("none for this backend, model, context and Claude Code"),
        Some(Verdict { date, complaints, .. }) if complaints.is_empty() => {
            Check::ok(AREA, LAST, format!("passed on {date}"))
        }
        Some(Verdict { date, complaints, .. }) => {
            Check::warning(AREA, LAST, format!("failed on {date}: {}", complaints.join("; "))).help(command)
        }
    }
}

/// Adds the checks and saves the verdict. Returns how lclaude ends if a signal interrupted them.
pub(crate) async fn check(
    subject: &Subject<'_>,
    claude: Option<PathBuf>,
    checks: &mut Vec<Check>,
    signals: &mut Signals,
) -> Option<Exit> {
    let make_plan = async {
        let plan = Plan::new(subject.settings.clone(), subject.environment.clone())?;
        let missing = if plan.is_up() {
            Vec::new()
        } else {
            // The warning for a tight fit was already reported.
            plan.check_memory()?;
            plan.missing().await
        };
        if let Some(model) = missing.first() {
            backend::refuse_download(plan.untrusted(), model)?;
            if !subject.yes {
                return Err(Failure::new(Code::Unavailable, format!("model {model} is not installed"))
                    .cause("the live tests need it")
                    .help("lclaude local doctor --live --yes  # downloads it"));
            }
        }
        Ok(plan)
    };
    let plan = match make_plan.await {
        Ok(plan) => plan,
        Err(failure) => {
            checks.push(Check::failed(AREA, "backend", &failure));
            return None;
        }
    };
    let turn = turn::child(subject);
    let done = RefCell::new(Vec::new());
    let outcome = start_and_test(&plan, subject, turn.as_ref().ok(), &done, signals).await;
    let mut done = done.into_inner();
    match outcome {
        Ok(Some(exit)) => {
            checks.append(&mut done);
            return Some(exit);
        }
        Ok(None) => {
            if let Some(claude) = claude {
                save_verdict(subject, VerdictKey::of(&plan.backend, &claude), checks, &mut done);
            }
        }
        Err(failure) => done.insert(0, Check::failed(AREA, "backend", &failure)),
    }
    checks.append(&mut done);
    None
}

/// Starts the backend, tests it and releases it. Returns how lclaude ends if a signal interrupted it.
async fn start_and_test(
    plan: &Plan,
    subject: &Subject<'_>,
    turn: Option<&Child>,
    done: &RefCell<Vec<Check>>,
    signals: &mut Signals,
) -> Result<Option<Exit>> {
    plan.ready_runtime()?;
    let downloads = if subject.yes { Downloads::Agreed } else { Downloads::NotAgreed };
    let scratch = Scratch::make(plan.runtime())?;
    let (mut lease, ready) =
        match run::backend_up(plan, Lease::new(plan.start(downloads), scratch.path()).into(), signals).await? {
            BackendUp::Ready(lease, ready) => (lease, ready),
            BackendUp::ModelMissing(missing) => return Err(missing.failure),
            BackendUp::Interrupted => return Ok(Some(signals.exit())),
        };
    let interrupted = tokio::select! {
        () = run_tests(plan, &ready, scratch.path(), turn, done) => None,
        failure = lost(&mut lease) => {
            done.borrow_mut().push(Check::failed(AREA, "backend lost", &failure));
            None
        }
        _ = signals.next() => Some(signals.exit()),
    };
    run::remove(scratch, signals).await;
    run::release(*lease, signals).await;
    Ok(interrupted)
}

/// Waits until the backend has failed for good, and returns the failure.
pub(crate) async fn lost(lease: &mut Lease) -> Failure {
    loop {
        if let Event::Failed { failure } | Event::ModelMissing(MissingModel { failure, .. }) = lease.event().await {
            return failure;
        }
    }
}

async fn run_tests(plan: &Plan, ready: &Ready, scratch: &Path, turn: Option<&Child>, done: &RefCell<Vec<Check>>) {
    let push = |check: Check| done.borrow_mut().push(check.map_text(|text| ready.endpoint.masked(&text)));
    let served = &ready.served;
    let model = &plan.backend.models[0];
    push(Check::ok(
        AREA,
        "backend",
        format!("{} is running with {}", plan.backend.kind, served.contexts(plan.backend.context)),
    ));
    match plan.check_served(served) {
        Ok(messages) => fitness(&messages).into_iter().for_each(push),
        Err(failure) => push(Check::failed(AREA, "fitness", &failure)),
    }
    let client = ApiClient::new(&ready.endpoint, model, served.thinking);
    let mut waiting = ProgressLine::new();
    let mut show = |what: &str| waiting.show("testing", None, what);
    show("a message");
    let message = probes::message(&client).await;
    let is_answered = message.state == Severity::Ok;
    push(message);
    if !is_answered {
        // The other tests would time out or fail for the same reason.
        return;
    }
    show("streaming");
    push(probes::streaming(&client).await);
    show("a tool call");
    let (check, call) = probes::tool_call(&client).await;
    push(check);
    show("a tool result");
    push(probes::tool_result(&client, call).await);
    show("a system prompt and a beta header");
    push(probes::system_and_beta(&client).await);
    show("a wrong model");
    push(probes::wrong_model(&client).await);
    show("an overlong prompt");
    push(probes::overflow(&client, served.context.max(plan.backend.context)).await);
    show("speed");
    for check in probes::speed(&client, &plan.backend, ready).await {
        push(check);
    }
    if let Some(child) = turn {
        show("a turn of Claude Code");
        push(turn::check(child, plan, ready, scratch).await);
    }
}

/// Returns one check with all warnings that a session would print, or `None` if there are none.
fn fitness(messages: &[String]) -> Option<Check> {
    let warnings: Vec<&str> = messages.iter().filter_map(|message| message.strip_prefix("warning: ")).collect();
    let found: Vec<&str> = warnings.iter().filter_map(|warning| warning.lines().next()).collect();
    let help = warnings.iter().flat_map(|warning| warning.lines().skip(1));
    let check = (!found.is_empty()).then(|| Check::warning(AREA, "fitness", found.join("; ")))?;
    Some(help.fold(check, |check, line| check.help(line.trim().trim_start_matches("help: "))))
}

/// Saves the result, so that later sessions can warn at once.
fn save_verdict(subject: &Subject<'_>, key: VerdictKey, before: &[Check], done: &mut Vec<Check>) {
    let version = before.iter().find(|check| (check.area, check.name) == (Area::Claude, "version"));
    let complaints = done.iter().filter(|check| check.state == Severity::Failure).map(|check| check.found.clone());
    let verdict = Verdict::new(key, version.map(|check| check.found.clone()), complaints.collect());
    if let Err(failure) = Verdicts::add(&subject.environment.places.state, verdict) {
        done.push(Check { state: Severity::Warning, ..Check::failed(AREA, "verdict", &failure) });
    }
}
