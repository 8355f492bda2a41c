//! What the kinds' checks for `lclaude local doctor` have in common.
//!
//! A check runs the very function that a session would run, and starts nothing but programs that are asked for their
//! version.

use super::subject::{AREA, edit};
use crate::backend::subject::Subject;
use std::path::{Path, PathBuf};

use super::{context::enough_trained, interface::Backend, plan::BackendPlan};
use crate::base::{
    check::{Check, State},
    error::Failure,
};

/// Returns the check of a program: a missing one counts as a failure only if it was chosen.
pub fn installed(name: &'static str, worst: State, found: &Result<PathBuf, Failure>) -> Check {
    match found {
        Ok(path) => Check::ok(AREA, name, path.display().to_string()),
        Err(_) if worst == State::Ok => Check::ok(AREA, name, "not installed, and not chosen"),
        Err(failure) => Check::failed(AREA, name, failure),
    }
}

/// Returns the check of a program that could not be asked for its version.
pub fn not_running(name: &'static str, path: &Path, how: &str, install: String) -> Check {
    Check::failure(AREA, name, format!("{} does not run", path.display()))
        .why(format!("asked for its version: {how}"))
        .help(install)
}

/// Returns the check of a kind that the user has to describe first.
pub fn configured(backend: &dyn Backend, subject: &Subject<'_>, what: &'static str) -> Check {
    let is_described = subject.settings.describes(backend.kind());
    Check::ok(AREA, backend.kind().name(), if is_described { what } else { "not configured" })
}

/// Returns the check of the plan's models, where they are there.
pub fn found(plan: &BackendPlan, what: &str) -> Check {
    Check::ok(AREA, "model", format!("{} from {}{what}", plan.models.join(", "), plan.origin))
}

/// Returns the check of what only a backend that runs can tell.
pub fn later(name: &'static str) -> Check {
    Check::ok(AREA, name, "known once the backend runs; --live asks it")
}

/// Returns what the main model's own file tells.
pub async fn on_disk(backend: &dyn Backend, subject: &Subject<'_>, plan: &BackendPlan) -> Vec<Check> {
    let Subject { settings, environment, file, .. } = *subject;
    let listed = backend.models(settings, environment, true).await.ok().flatten().unwrap_or_default();
    let Some(model) = listed.into_iter().find(|listed| listed.served == plan.models[0]) else {
        return vec![later("tools")];
    };
    if let Some(problem) = model.problem {
        return vec![Check::warning(AREA, "tools", problem).why("a download may have broken off").help(edit(file))];
    }
    let tools = match model.tools {
        None => later("tools"),
        Some(true) => Check::ok(AREA, "tools", "its chat template has them; --live tries one"),
        Some(false) => Check::warning(AREA, "tools", format!("{} cannot call tools", plan.models[0]))
            .why("its chat template has none, so Claude Code can talk but neither read nor write files")
            .help(edit(file)),
    };
    vec![tools, context(subject, plan, model.trained, None)]
}

/// Returns the check of the context that the main model will have. `larger`: what gives it more than it gives by itself.
pub fn context(subject: &Subject<'_>, plan: &BackendPlan, trained: Option<u32>, larger: Option<String>) -> Check {
    let asked = plan.context;
    if let Err(failure) = enough_trained(subject.settings, &plan.models[0], trained) {
        return subject.failed("model context", failure);
    }
    match (larger, trained) {
        (Some(larger), _) => {
            Check::warning(AREA, "model context", format!("{asked} tokens are asked for, and fewer will be granted"))
                .help(larger)
        }
        (None, Some(trained)) if trained < asked => {
            Check::warning(AREA, "model context", format!("{asked} tokens are asked for, {trained} is all it can"))
                .help(format!("--context {trained}, or a model that was trained for more"))
                .help(edit(subject.file))
        }
        (None, Some(trained)) => {
            Check::ok(AREA, "model context", format!("{asked} tokens asked for, {trained} possible"))
        }
        (None, None) => Check::ok(AREA, "model context", format!("{asked} tokens asked for")),
    }
}
