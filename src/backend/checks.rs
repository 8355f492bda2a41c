//! Checks of `lclaude local doctor` that several kinds share.
//!
//! A check calls the same function that a session calls. The only programs it runs are those it asks for their version.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    context::{enough_trained, too_small},
    interface::Backend,
    plan::BackendPlan,
    served::Served,
    subject::{AREA, Subject, edit_command},
};
use crate::base::{
    check::{Check, Severity},
    context::MIN_CONTEXT,
    error::{Code, Failure},
    spawn,
};

/// Returns the check of a program. A missing one is a failure only if its backend is selected.
pub(crate) fn installed(name: &'static str, worst: Severity, found: &Result<PathBuf, Failure>) -> Check {
    match found {
        Ok(path) => Check::ok(AREA, name, path.display().to_string()),
        Err(_) if worst == Severity::Ok => Check::ok(AREA, name, "not installed (not selected)"),
        Err(failure) => Check::failed(AREA, name, failure),
    }
}

/// Returns the check of a program that failed to print its version.
pub(crate) fn does_not_run(name: &'static str, path: &Path, how: &str, install: String) -> Check {
    Check::failure(AREA, name, format!("{} does not run", path.display()))
        .cause(format!("{} --version: {how}", path.display()))
        .help(install)
}

/// Returns the check of a program that the system couldn't start.
pub(crate) fn not_started(name: &'static str, path: &Path, error: &io::Error, install: String) -> Check {
    Check::failed(AREA, name, &spawn::not_started(Code::Unavailable, path, error).help(install))
}

/// Returns the check of a kind that works only once it is configured.
pub(crate) fn configured(backend: &dyn Backend, subject: &Subject<'_>, what: &'static str) -> Check {
    let is_described = subject.settings.describes(backend.kind());
    Check::ok(AREA, backend.kind().name(), if is_described { what } else { "not configured" })
}

/// Returns the check that the plan's models were found.
pub(crate) fn models_found(plan: &BackendPlan, what: &str) -> Check {
    Check::ok(AREA, "model", format!("{} from {}{what}", plan.models.join(", "), plan.origin))
}

/// Returns the check of something that only a running backend can tell.
pub(crate) fn known_later(name: &'static str) -> Check {
    Check::ok(AREA, name, "unknown until the backend runs (check it with --live)")
}

/// Returns the checks of the main model's file.
pub(crate) async fn model_file(backend: &dyn Backend, subject: &Subject<'_>, plan: &BackendPlan) -> Vec<Check> {
    let Subject { settings, environment, file, .. } = *subject;
    let listed = backend.models(settings, environment, true).await.ok().flatten().unwrap_or_default();
    let Some(model) = listed.into_iter().find(|listed| listed.served == plan.models[0]) else {
        return vec![known_later("tools")];
    };
    if let Some(problem) = model.problem {
        return vec![
            Check::warning(AREA, "tools", problem).cause("the download may be incomplete").help(edit_command(file)),
        ];
    }
    let tools = match model.tools {
        None => known_later("tools"),
        Some(true) => Check::ok(AREA, "tools", "the chat template supports tools (try one with --live)"),
        Some(false) => Check::warning(AREA, "tools", format!("{} cannot call tools", plan.models[0]))
            .cause("its chat template does not support tools, so Claude Code cannot read or write files")
            .help(edit_command(file)),
    };
    let mut served = Served::new();
    for name in &plan.models {
        let trained = (*name == model.served).then_some(model.trained).flatten();
        served.expect(plan, name, trained, backend.fixed_context(plan, environment, name));
    }
    vec![tools, context(subject, plan, &served)]
}

/// Returns the check of the context that a session will get.
pub(crate) fn context(subject: &Subject<'_>, plan: &BackendPlan, served: &Served) -> Check {
    let name = "model context";
    let (asked, granted) = (plan.context, served.context);
    if let Err(failure) = enough_trained(subject.settings, &served.of, served.trained) {
        return subject.failed(name, failure);
    }
    if let Some(larger) = &served.more_context {
        if granted < MIN_CONTEXT && subject.settings.checks_context() {
            return subject.failed(name, too_small(served, asked, larger));
        }
        return Check::warning(AREA, name, format!("{asked} tokens requested, but {} gets only {granted}", served.of))
            .help(larger.clone());
    }
    match served.trained {
        Some(trained) if trained < asked => {
            Check::warning(AREA, name, format!("{asked} tokens requested, but the model supports only {trained}"))
                .help(format!("lclaude --context {trained}"))
                .help(edit_command(subject.file))
        }
        Some(trained) => Check::ok(AREA, name, format!("{asked} tokens requested, {trained} supported")),
        None => Check::ok(AREA, name, format!("{asked} tokens requested")),
    }
}
