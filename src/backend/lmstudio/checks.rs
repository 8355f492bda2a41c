//! Doctor's checks of LM Studio and its models, which start nothing.

use super::plan::{self, Studio};
use crate::{
    backend::{
        checks,
        plan::BackendPlan,
        served::Served,
        subject::{AREA, Subject},
    },
    base::check::{Check, Severity},
};

/// Returns the check of `lms`.
pub(crate) fn installation(subject: &Subject<'_>, worst: Severity) -> Vec<Check> {
    let found = plan::program(subject.settings, subject.environment).map_err(|failure| subject.with_edit_help(failure));
    vec![checks::installed("lmstudio program", worst, &found)]
}

/// Returns the checks of the server and the plan's models.
pub(crate) async fn models(subject: &Subject<'_>, plan: &BackendPlan) -> Vec<Check> {
    let Some(studio) = Studio::of(plan) else {
        return Vec::new();
    };
    match studio.look(&plan.models).await {
        Ok(None) => vec![
            Check::ok(AREA, "lmstudio server", "LM Studio is not running; lclaude starts it"),
            checks::known_later("model"),
        ],
        Ok(Some(seen)) => {
            let server =
                seen.port.map_or("not running; lclaude starts it".into(), |port| format!("running on port {port}"));
            let mut all = vec![Check::ok(AREA, "lmstudio server", server)];
            match seen.models {
                Ok(trained) => {
                    all.push(checks::models_found(plan, ", supports tools"));
                    all.push(checks::context(subject, plan, &Served::of_main(plan, trained)));
                }
                Err(failure) => all.push(subject.failed("model", failure)),
            }
            all
        }
        Err(failure) => vec![subject.failed("lmstudio server", failure)],
    }
}
