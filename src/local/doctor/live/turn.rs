//! One turn of the real Claude Code: a tool call that writes a file, in an empty directory, with a configuration directory
//! of its own, so that nothing of the user's is read or written.

use crate::backend::subject::Subject;
use std::{
    ffi::OsString,
    fs,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::{process::Command, time::timeout};

use super::proofs::TASK;
use crate::{
    backend,
    base::check::{Area, Check},
    base::error::{Code, Failure, Result},
    claude::{SessionPlan, arguments::Session},
    keeper::Ready,
    session::{child::Child, plan::Plan},
};

/// With one tool its prompt is short; yet the model may be slow.
const AREA: Area = Area::Live;
const LIMIT: Duration = Duration::from_secs(900);
const NAME: &str = "Claude Code's turn";

/// Claude Code with the task; its tool may do no more than that asks for, in the directory it is in.
pub fn child(subject: &Subject<'_>) -> Result<Child> {
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
    // They are a session's, whatever else could be read from such words.
    let session = Session { arguments: words.map(OsString::from).into(), ..Session::default() };
    // It has a home of its own anyway, which is made and gone with the proof.
    let mut settings = subject.settings.clone();
    settings.throwaway = None;
    SessionPlan::new(&settings, session, subject.environment).map(Child::ClaudeCode)
}

pub async fn check(child: &Child, plan: &Plan, ready: &Ready, scratch: &Path) -> Check {
    let (own, work) = (scratch.join("claude"), scratch.join("work"));
    let ended = match run(child, plan, ready, [scratch, &own, &work]).await {
        Ok(ended) => ended,
        Err(failure) => return Check::failed(AREA, NAME, &failure),
    };
    let Some(output) = ended else {
        return Check::failure(AREA, NAME, "Claude Code did not end its turn in time")
            .why(format!("{} minutes", LIMIT.as_secs() / 60))
            .help("lclaude --lean, a smaller model, or a faster machine");
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let result: Value = serde_json::from_str(said.trim()).unwrap_or_default();
    let words = result["result"].as_str().unwrap_or(said.trim()).trim().to_owned();
    let wrote = fs::read_dir(&work).is_ok_and(|mut files| files.next().is_some());
    if !output.status.success() || result["is_error"] == true {
        let log = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
        let how = backend::describe_status(Some(output.status));
        let check = Check::failure(AREA, NAME, format!("Claude Code ended its turn with {how}"));
        return Check { log, ..check.why(words).help("lclaude -p \"hello\"") };
    }
    if !wrote {
        return Check::failure(AREA, NAME, "Claude Code's turn ended without the file it was to write")
            .why(format!("no tool call came, or a wrong one; it says: {words}"))
            .help("lclaude --model NAME, with a model whose chat template has tools");
    }
    let seconds = result["duration_ms"].as_f64().map(|ms| format!(" in {:.1} s", ms / 1000.0)).unwrap_or_default();
    Check::ok(AREA, NAME, format!("the model wrote a file with a tool{seconds}, and said: {words}"))
}

async fn run(child: &Child, plan: &Plan, ready: &Ready, places: [&Path; 3]) -> Result<Option<Output>> {
    let [scratch, own, work] = places;
    for directory in [own, work] {
        fs::create_dir(directory).map_err(|error| {
            Failure::new(Code::Config, format!("{} cannot be made", directory.display()))
                .why(error)
                .help(format!("df -h {}", scratch.display()))
        })?;
    }
    let routed = plan.routing.route(&ready.endpoint, &ready.served, true);
    let mut command = child.command(&routed, scratch)?;
    command.env("CLAUDE_CONFIG_DIR", own).env("CLAUDE_CODE_TMPDIR", scratch).current_dir(work);
    command.stdin(Stdio::null());
    match timeout(LIMIT, Command::from(command).kill_on_drop(true).output()).await {
        Ok(Ok(output)) => Ok(Some(output)),
        Ok(Err(error)) => Err(child.not_started(error)),
        Err(_) => Ok(None),
    }
}
