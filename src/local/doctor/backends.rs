//! Checks every backend's installation, and the models of the chosen backend.

use crate::{
    backend::{
        self, BackendPlan, ChosenBackend,
        registry::{self, ALL},
        subject::{AREA, Subject},
    },
    base::check::{Check, Severity},
};

/// Adds the checks. Returns the chosen backend's plan, or `None` if it can't be built.
pub(crate) async fn check(subject: &Subject<'_>, checks: &mut Vec<Check>) -> Option<BackendPlan> {
    let Subject { settings, environment, .. } = *subject;
    let chosen = backend::choose(settings, environment);
    let kind = chosen.as_ref().ok().map(|(kind, _)| *kind);
    for backend in ALL {
        let worst = if kind == Some(backend.kind()) { Severity::Failure } else { Severity::Ok };
        checks.extend(backend.check_installation(subject, worst).await);
    }
    match chosen.and_then(|_| backend::plan(settings, environment)) {
        Ok(ChosenBackend { plan, reason, .. }) => {
            // The reason starts with the backend's name.
            checks.push(Check::ok(AREA, "choice", reason.unwrap_or_else(|| plan.kind.to_string())));
            checks.extend(registry::backend(plan.kind).check_models(subject, &plan).await);
            Some(plan)
        }
        Err(failure) => {
            let failure = subject.with_edit_help(failure);
            // The program's own check may already report the same failure.
            if !checks.iter().any(|check| check.state == Severity::Failure && check.found == failure.what) {
                checks.push(Check::failed(AREA, "choice", &failure));
            }
            None
        }
    }
}
