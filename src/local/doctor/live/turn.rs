//! Runs one turn of the real Claude Code: a tool call that writes a file in an empty directory. Claude Code gets its
//! own configuration directory, so none of the user's files are read or written.

use std::{
    ffi::OsString,
    fs,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::{process::Command, time::timeout};

use super::probes::{OTHER_MODEL, TASK};
use crate::{
    backend::{self, subject::Subject},
    base::{
        check::{Area, Check},
        error::{Code, Failure, Result},
        ui,
    },
    claude::{SessionPlan, arguments::SessionRequest},
    config::ToolSet,
    keeper::Ready,
    session::{child::Child, plan::Plan},
};

const AREA: Area = Area::Live;
/// With one tool the prompt is short, but the model may be slow.
const LIMIT: Duration = Duration::from_secs(900);
const NAME: &str = "Claude Code's turn";

/// Returns Claude Code with the task, allowed to run only the command of the task.
pub(crate) fn child(subject: &Subject<'_>) -> Result<Child> {
    let words = [
        "-p",
        TASK,
        "--tools",
        "Bash",
        "--allowedTools",
        "Bash(echo:*)",
        "--permission-mode",
        "acceptEdits",
        "--strict-mcp-config",
        "--no-session-persistence",
        "--output-format",
        "json",
    ];
    // Built directly, because parsing these arguments could yield another request than a session.
    let session = SessionRequest { arguments: words.map(OsString::from).into(), ..SessionRequest::default() };
    // The turn gets a temporary configuration directory anyway.
    let mut settings = subject.settings.clone();
    settings.throwaway = None;
    SessionPlan::new(&settings, session, subject.environment).map(Child::ClaudeCode)
}

/// Runs the turn and checks that it wrote the file.
pub(crate) async fn check(child: &Child, plan: &Plan, ready: &Ready, scratch: &Path) -> Check {
    let (own, work) = (scratch.join("claude"), scratch.join("work"));
    let outcome = match run(child, plan, ready, [scratch, &own, &work]).await {
        Ok(outcome) => outcome,
        Err(failure) => return Check::failed(AREA, NAME, &failure),
    };
    let Some(output) = outcome else {
        return Check::failure(AREA, NAME, "Claude Code did not finish its turn in time")
            .cause(format!("the limit is {} minutes", LIMIT.as_secs() / 60))
            .help("lclaude --lean  # or use a smaller model");
    };
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let result: Value = serde_json::from_str(stdout.trim()).unwrap_or_default();
    let answer = result["result"].as_str().unwrap_or(stdout.trim()).trim().to_owned();
    let wrote = fs::read_dir(&work).is_ok_and(|mut files| files.next().is_some());
    if !output.status.success() || result["is_error"] == true {
        let log = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
        let status = backend::describe_status(Some(output.status));
        let check = Check::failure(AREA, NAME, format!("Claude Code {status}"));
        let cause = if answer.is_empty() { "it printed no answer".into() } else { answer };
        return Check { log, ..check.cause(cause).help("lclaude -p \"hello\"") };
    }
    if !wrote {
        return Check::failure(AREA, NAME, "Claude Code finished its turn without writing the file")
            .cause(format!("the model made no tool call, or a wrong one; its answer: {answer}"))
            .help(OTHER_MODEL);
    }
    let seconds = result["duration_ms"].as_f64().map(|ms| format!(" in {:.1} s", ms / 1000.0)).unwrap_or_default();
    Check::ok(AREA, NAME, format!("the model wrote a file with a tool{seconds} and answered: {answer}"))
}

/// Returns Claude Code's output, or `None` if it didn't finish in time.
async fn run(child: &Child, plan: &Plan, ready: &Ready, places: [&Path; 3]) -> Result<Option<Output>> {
    let [scratch, own, work] = places;
    for directory in [own, work] {
        fs::create_dir(directory).map_err(|error| {
            Failure::new(Code::Config, format!("{} cannot be created", directory.display()))
                .cause(error)
                .help(format!("df -h {}", ui::quote_path(scratch)))
        })?;
    }
    let routed = plan.routing.route(&ready.endpoint, &ready.served, ToolSet::Lean);
    let mut command = child.command(&routed, scratch)?;
    command.env("CLAUDE_CONFIG_DIR", own).env("CLAUDE_CODE_TMPDIR", scratch).current_dir(work);
    command.stdin(Stdio::null());
    match timeout(LIMIT, Command::from(command).kill_on_drop(true).output()).await {
        Ok(Ok(output)) => Ok(Some(output)),
        Ok(Err(error)) => Err(child.spawn_failure(error)),
        Err(_) => Ok(None),
    }
}
