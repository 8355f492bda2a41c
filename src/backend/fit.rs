//! Checks whether a plan's models fit in memory, before anything is started.

use super::{plan::BackendPlan, registry::backend};
use crate::{
    base::{environment::Environment, error::Result},
    config::Settings,
    memory::{self, Estimate, Fit, Machine},
};

/// Returns the memory that the plan needs, or `None` if that is unknown without starting anything. LM Studio's need is
/// unknown here; the keeper checks it once LM Studio is running.
fn estimate(settings: &Settings, plan: &BackendPlan, environment: &Environment) -> Option<Estimate> {
    let estimate = backend(plan.kind).estimate(settings, plan, environment);
    estimate.filter(Estimate::is_known)
}

/// Returns a warning if memory is tight. Call it only before a load: it reads the models' headers and may run the GPU
/// vendors' tools.
///
/// # Errors
/// `Unavailable` if the models can't fit, unless `memory_check` is off.
pub(crate) fn check(settings: &Settings, plan: &BackendPlan, environment: &Environment) -> Result<Option<String>> {
    if settings.memory_check == Some(false) {
        return Ok(None);
    }
    let Some(estimate) = estimate(settings, plan, environment) else {
        return Ok(None);
    };
    match estimate.compare() {
        Some((Fit::No, machine)) => Err(memory::refusal(&estimate, &machine)),
        Some((Fit::Tight, machine)) => Ok(Some(memory::warning(&estimate, &machine))),
        Some((Fit::Yes, _)) | None => Ok(None),
    }
}

/// What the models' files tell, as far as they are on this machine.
#[derive(Default)]
pub(crate) struct ModelFacts {
    /// The memory figures and the verdict, in one line.
    pub memory: Option<String>,
    /// Tokens that the main model was trained for.
    pub trained: Option<u32>,
    /// Bytes of all models together.
    pub weights: Option<u64>,
}

/// Returns what the plan's model files tell. Starts nothing.
pub(crate) fn inspect(settings: &Settings, plan: &BackendPlan, environment: &Environment) -> ModelFacts {
    let Some(estimate) = estimate(settings, plan, environment) else {
        return ModelFacts::default();
    };
    ModelFacts {
        memory: Machine::detect().map(|machine| describe(settings, &estimate, &machine.with_tools())),
        trained: estimate.models.first().and_then(|model| model.shape.as_ref()?.trained),
        weights: estimate.models.iter().map(|model| model.weights).sum(),
    }
}

fn describe(settings: &Settings, estimate: &Estimate, machine: &Machine) -> String {
    let fit = match estimate.fit(machine) {
        Fit::Yes => "fits",
        Fit::Tight => "tight",
        Fit::No if settings.memory_check == Some(false) => "does not fit (memory_check is off)",
        Fit::No => "does not fit",
    };
    format!("{}: {fit}", memory::describe(estimate, machine))
}
