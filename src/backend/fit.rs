//! Whether what a plan will load fits into memory: the backends' own figures, weighed before anything is started.

use super::{plan::BackendPlan, registry::backend};
use crate::{
    base::{environment::Environment, error::Result},
    config::Settings,
    memory::{self, Estimate, Fit, Machine},
};

/// What the plan will load, where that can be told without starting anything. Of LM Studio's models it cannot: the keeper
/// asks once LM Studio is up.
fn estimate(settings: &Settings, plan: &BackendPlan, environment: &Environment) -> Option<Estimate> {
    let estimate = backend(plan.kind).estimate(settings, plan, environment);
    estimate.filter(Estimate::is_known)
}

/// To be called only when something will be loaded: it reads the models' headers, and may ask the graphics' own programs.
/// Gives what the user should know.
///
/// # Errors
/// `Unavailable` when it cannot fit, unless the user has said that it may try.
pub fn check(settings: &Settings, plan: &BackendPlan, environment: &Environment) -> Result<Option<String>> {
    if settings.memory_check == Some(false) {
        return Ok(None);
    }
    let Some(estimate) = estimate(settings, plan, environment) else {
        return Ok(None);
    };
    match estimate.weigh() {
        Some((Fit::No, machine)) => Err(memory::refusal(&estimate, &machine)),
        Some((Fit::Tight, machine)) => Ok(Some(memory::warning(&estimate, &machine))),
        Some((Fit::Yes, _)) | None => Ok(None),
    }
}

/// What a look at the models' files tells, where they are on this machine.
#[derive(Default)]
pub struct Known {
    /// The figures in one line, and what comes of them.
    pub memory: Option<String>,
    /// Tokens the main one was trained for.
    pub trained: Option<u32>,
    /// Bytes of all of them together.
    pub weights: Option<u64>,
}

pub fn look(settings: &Settings, plan: &BackendPlan, environment: &Environment) -> Known {
    let Some(estimate) = estimate(settings, plan, environment) else {
        return Known::default();
    };
    Known {
        memory: Machine::look().map(|machine| describe(settings, &estimate, &machine.with_tools())),
        trained: estimate.models.first().and_then(|model| model.shape.as_ref()?.trained),
        weights: estimate.models.iter().map(|model| model.weights).sum(),
    }
}

fn describe(settings: &Settings, estimate: &Estimate, machine: &Machine) -> String {
    let fit = match estimate.fit(machine) {
        Fit::Yes => "fits",
        Fit::Tight => "tight",
        Fit::No if settings.memory_check == Some(false) => "does not fit, and is started all the same",
        Fit::No => "does not fit, and is refused",
    };
    format!("{}: {fit}", memory::describe(estimate, machine))
}
