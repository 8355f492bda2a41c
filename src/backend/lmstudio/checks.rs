//! Whether LM Studio and its models can be used, as far as that can be told without starting it.

use super::plan::{self, Studio};
use crate::{
    backend::{
        checks,
        plan::BackendPlan,
        subject::{AREA, Subject},
    },
    base::check::{Check, State},
};

pub fn installation(subject: &Subject<'_>, worst: State) -> Vec<Check> {
    let found = plan::program(subject.settings, subject.environment).map_err(|failure| subject.correctable(failure));
    vec![checks::installed("lmstudio program", worst, &found)]
}

pub async fn models(subject: &Subject<'_>, plan: &BackendPlan) -> Vec<Check> {
    let Some(studio) = Studio::of(plan) else {
        return Vec::new();
    };
    match studio.look(&plan.models).await {
        Ok(None) => vec![
            Check::ok(AREA, "lmstudio server", "LM Studio does not run; lclaude starts it"),
            checks::later("model"),
        ],
        Ok(Some(seen)) => {
            let server = seen.port.map_or("none; lclaude starts it".into(), |port| format!("runs on port {port}"));
            let mut all = vec![Check::ok(AREA, "lmstudio server", server)];
            match seen.models {
                Ok(trained) => {
                    all.push(checks::found(plan, ", and can call tools"));
                    all.push(checks::context(subject, plan, trained, None));
                }
                Err(failure) => all.push(subject.failed("model", failure)),
            }
            all
        }
        Err(failure) => vec![subject.failed("lmstudio server", failure)],
    }
}
