//! Checks whether a plan's models fit in memory, before anything is started.

use super::{plan::BackendPlan, registry::backend, served::Served};
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
pub(crate) struct ModelFacts {
    /// The memory figures and the verdict, in one line.
    pub memory: Option<String>,
    /// Tokens that the main model was trained for.
    pub trained: Option<u32>,
    /// What the backend is expected to serve. Models of which nothing is known get the requested context.
    pub expected: Served,
    /// Whether a model's file says something about its context.
    pub is_context_known: bool,
    /// Bytes of all models together.
    pub weights: Option<u64>,
}

/// Returns what the plan's model files tell. Starts nothing.
pub(crate) fn inspect(settings: &Settings, plan: &BackendPlan, environment: &Environment) -> ModelFacts {
    let estimate = estimate(settings, plan, environment);
    let trained = |name: &str| {
        let model = estimate.as_ref()?.models.iter().find(|model| model.name == name)?;
        model.shape.as_ref()?.trained
    };
    let mut facts = ModelFacts {
        memory: estimate
            .as_ref()
            .zip(Machine::detect())
            .map(|(estimate, machine)| describe(settings, estimate, &machine.with_tools())),
        trained: estimate.as_ref().and_then(|estimate| estimate.models.first()?.shape.as_ref()?.trained),
        expected: Served::new(),
        is_context_known: false,
        weights: estimate.as_ref().and_then(|estimate| {
            estimate.models.iter().try_fold(0, |sum: u64, model| Some(sum.saturating_add(model.weights?)))
        }),
    };
    if plan.models.is_empty() {
        facts.expected.context = plan.context;
    }
    for name in &plan.models {
        let (trained, fixed) = (trained(name), backend(plan.kind).fixed_context(plan, environment, name));
        facts.is_context_known |= trained.is_some() || fixed.is_some();
        facts.expected.expect(plan, name, trained, fixed);
    }
    facts
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
