//! The models of all backends on this machine, with the memory that each needs.
//!
//! Listing them reads the headers of their files and may run the programs of backends and of graphics drivers, so an
//! ordinary start must not do it.

use std::cmp::Reverse;

use super::{
    choose::choose,
    context::enough_trained,
    interface::Backend,
    listed::ListedModel,
    names::is_same_family,
    registry::{ALL, backend},
    starting::ReportedModel,
};
use crate::{
    base::{environment::Environment, error::Result},
    config::{Kind, Settings, Source},
    memory::{Estimate, Fit, Machine},
};

/// A model of a backend.
#[derive(Debug, Clone)]
pub(crate) struct InstalledModel {
    pub kind: Kind,
    pub model: ListedModel,
    /// Bytes needed at the requested context window.
    pub need: Option<u64>,
    pub fits: Option<Fit>,
}

impl InstalledModel {
    /// Returns a model with the memory that it needs at the requested context window.
    pub(crate) fn new(kind: Kind, model: ListedModel, settings: &Settings, machine: Option<&Machine>) -> Self {
        let kept_prompts = backend(kind).kept_prompts(settings, 1);
        let estimate =
            model.model.clone().map(|model| Estimate { models: vec![model], kept_prompts, cache_setting: None });
        let estimate = estimate.filter(Estimate::is_known);
        InstalledModel {
            kind,
            model,
            need: estimate.as_ref().map(|estimate| estimate.need().total()),
            // A partial estimate is a lower bound, so it can only rule a model out.
            fits: estimate
                .zip(machine)
                .map(|(estimate, machine)| (estimate.is_partial(), estimate.fit(machine)))
                .filter(|(is_partial, fits)| !is_partial || *fits == Fit::No)
                .map(|(_, fits)| fits),
        }
    }

    /// Returns whether a session can use it: it can call tools, fits in memory, and was trained for enough context.
    fn is_usable(&self, settings: &Settings) -> bool {
        let ListedModel { name, tools, trained, .. } = &self.model;
        *tools == Some(true) && self.fits != Some(Fit::No) && enough_trained(settings, name, *trained).is_ok()
    }
}

/// Returns the models that a session could use instead of a missing one, the best first: those that fit before those
/// that are tight, those that were trained for the requested context before others, then the larger ones.
///
/// They are the models of the configured backend, or of all that are installed. A backend that lists its models only
/// while it runs has none if it doesn't run.
pub(crate) async fn usable(settings: &Settings, environment: &Environment) -> Vec<InstalledModel> {
    let mut settings = settings.clone();
    // It is missing, so a backend that looks for it would fail.
    settings.model = None;
    let machine = Machine::detect().map(Machine::with_tools);
    let is_asked = |backend: &&dyn Backend| match settings.backend {
        Some(kind) => backend.kind() == kind,
        None => backend.is_detected() && backend.program(&settings, environment).is_ok(),
    };
    let mut found = Vec::new();
    for backend in ALL.into_iter().filter(is_asked) {
        let models = backend.models(&settings, environment, settings.backend.is_some()).await;
        let models = models.ok().flatten().unwrap_or_default().into_iter();
        found.extend(models.map(|model| InstalledModel::new(backend.kind(), model, &settings, machine.as_ref())));
    }
    ranked(found, &settings)
}

/// Returns the usable models of one backend, the best first.
pub(crate) async fn usable_of(kind: Kind, settings: &Settings, environment: &Environment) -> Vec<InstalledModel> {
    let mut settings = settings.clone();
    settings.backend = Some(kind);
    usable(&settings, environment).await
}

/// Returns the usable ones of the models that a running server reports, the best first. All of them can call tools.
pub(crate) fn usable_reported(kind: Kind, models: &[ReportedModel], settings: &Settings) -> Vec<InstalledModel> {
    let installed = |ReportedModel { name, size, trained }: &ReportedModel| {
        let named = ListedModel::named(name);
        let model = ListedModel { size: *size, trained: *trained, tools: Some(true), ..named };
        InstalledModel { kind, model, need: None, fits: None }
    };
    ranked(models.iter().map(installed).collect(), settings)
}

/// Returns the usable ones of these models, the best first.
fn ranked(mut found: Vec<InstalledModel>, settings: &Settings) -> Vec<InstalledModel> {
    found.retain(|model| model.is_usable(settings));
    found.sort_by_key(|installed| {
        let fits = match installed.fits {
            Some(Fit::Yes) => 0,
            Some(Fit::Tight) => 1,
            Some(Fit::No) | None => 2,
        };
        let is_short = installed.model.trained.is_some_and(|trained| trained < settings.context());
        (fits, is_short, Reverse(installed.model.size))
    });
    found
}

/// Returns the first of these models that differs from `model` only in its owner or tag, such as `qwen3-coder:30b` for
/// `qwen3-coder:latest`.
pub(crate) fn find_near<'a>(model: &str, usable: &'a [InstalledModel]) -> Option<&'a InstalledModel> {
    usable.iter().find(|installed| installed.model.name != model && is_same_family(&installed.model.name, model))
}

/// Returns the backend to name after `--backend` in a command that uses `model` of `kind`, or `None` if a session with
/// this model uses that backend anyway.
///
/// # Errors
/// Those of finding a backend.
pub(crate) fn backend_to_name(
    model: &str,
    kind: Kind,
    settings: &Settings,
    environment: &Environment,
) -> Result<Option<Kind>> {
    let mut settings = settings.clone();
    settings.model = Some(model.to_owned());
    // An option isn't part of that command yet.
    if matches!(settings.source("backend"), Source::Option(_)) {
        settings.backend = None;
    }
    let (chosen, _) = choose(&settings, environment)?;
    Ok((chosen != kind).then_some(kind))
}
