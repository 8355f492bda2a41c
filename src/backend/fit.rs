//! Whether what a plan will load fits into memory: the backends' own figures, weighed before anything is started.

use std::path::Path;

use super::{BackendPlan, Kind, llamacpp, ollama};
use crate::{
    config::Settings,
    error::Result,
    memory::{self, Estimate, Fit, Machine},
};

/// What the plan will load, where that can be told without starting anything. Of LM Studio's models it cannot: the keeper
/// asks once LM Studio is up.
fn estimate(settings: &Settings, plan: &BackendPlan, home: &Path, here: &Path) -> Option<Estimate> {
    let estimate = match plan.kind {
        Kind::LlamaCpp => llamacpp::memory::estimate(settings, home, here),
        Kind::Ollama => ollama::memory::estimate(settings, plan, home),
        Kind::LmStudio | Kind::Command | Kind::Endpoint => None,
    };
    estimate.filter(Estimate::is_known)
}

/// Bytes of the plan's models, where all of them are known.
pub fn weights(settings: &Settings, plan: &BackendPlan, home: &Path, here: &Path) -> Option<u64> {
    let estimate = estimate(settings, plan, home, here)?;
    estimate.models.iter().map(|model| model.weights).sum()
}

/// Tokens that the main model was trained for, where its file says so.
pub fn trained(settings: &Settings, plan: &BackendPlan, home: &Path, here: &Path) -> Option<u32> {
    estimate(settings, plan, home, here)?.models.first()?.shape.as_ref()?.trained
}

/// To be called only when something will be loaded: it reads the models' headers, and may ask the graphics' own programs.
/// Gives what the user should know.
///
/// # Errors
/// `Unavailable` when it cannot fit, unless the user has said that it may try.
pub fn check(settings: &Settings, plan: &BackendPlan, home: &Path, here: &Path) -> Result<Option<String>> {
    if settings.memory_check == Some(false) {
        return Ok(None);
    }
    let Some(estimate) = estimate(settings, plan, home, here) else {
        return Ok(None);
    };
    match estimate.weigh() {
        Some((Fit::No, machine)) => Err(memory::refusal(&estimate, &machine)),
        Some((Fit::Tight, machine)) => Ok(Some(memory::warning(&estimate, &machine))),
        Some((Fit::Yes, _)) | None => Ok(None),
    }
}

/// The figures in one line, and what comes of them.
pub fn describe(settings: &Settings, plan: &BackendPlan, home: &Path, here: &Path) -> Option<String> {
    let estimate = estimate(settings, plan, home, here)?;
    let machine = Machine::look()?.with_tools();
    let fit = match estimate.fit(&machine) {
        Fit::Yes => "fits",
        Fit::Tight => "tight",
        Fit::No if settings.memory_check == Some(false) => "does not fit, and is started all the same",
        Fit::No => "does not fit, and is refused",
    };
    Some(format!("{}: {fit}", memory::describe(&estimate, &machine)))
}
