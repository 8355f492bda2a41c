//! The backends: each one that is installed, and the chosen one down to its model.

use crate::{
    backend::{
        self, BackendPlan, Chosen,
        registry::{self, ALL},
        subject::{AREA, Subject},
    },
    base::check::{Check, State},
};

/// Returns the chosen backend's plan, where there is one.
pub async fn check(subject: &Subject<'_>, checks: &mut Vec<Check>) -> Option<BackendPlan> {
    let Subject { settings, environment, .. } = *subject;
    let chosen = backend::choose(settings, environment);
    let kind = chosen.as_ref().ok().map(|(kind, _)| *kind);
    for backend in ALL {
        let worst = if kind == Some(backend.kind()) { State::Failure } else { State::Ok };
        checks.extend(backend.check_installation(subject, worst).await);
    }
    match chosen.and_then(|_| backend::plan(settings, environment)) {
        Ok(Chosen { plan, reason, .. }) => {
            // The reason begins with the backend's name.
            checks.push(Check::ok(AREA, "choice", reason.unwrap_or_else(|| plan.kind.to_string())));
            checks.extend(registry::backend(plan.kind).check_models(subject, &plan).await);
            Some(plan)
        }
        Err(failure) => {
            let failure = subject.correctable(failure);
            // Its program's own line has said it already.
            if !checks.iter().any(|check| check.state == State::Failure && check.found == failure.what) {
                checks.push(Check::failed(AREA, "choice", &failure));
            }
            None
        }
    }
}
