//! The models of all backends on this machine: which backend has a model, and which models a session can use.
//!
//! Listing them reads the headers of their files and may run the programs of backends and of graphics drivers, so an
//! ordinary start must not do it.

use std::cmp::Reverse;

use super::{
    choose::choose,
    context::enough_trained,
    interface::Backend,
    listed::ListedModel,
    names::{self, is_same_family},
    registry::{ALL, backend},
    starting::ReportedModel,
};
use crate::{
    base::{
        environment::Environment,
        error::{Failure, Result},
    },
    config::{Kind, Settings, Source},
    memory::{Estimate, Fit, Machine},
};

/// The models of the backends that could be asked.
pub(crate) struct Installed {
    pub models: Vec<(Kind, ListedModel)>,
    /// The backends that could not be asked.
    pub failures: Vec<(Kind, Failure)>,
}

impl Installed {
    /// Lists the models of the backends for which `is_listed` is true. Starts nothing. Reads the headers of models and
    /// asks servers that run, so it may take seconds.
    ///
    /// `chosen`: the backend that the user chose, for which it is a failure not to be installed.
    pub(crate) async fn list(
        settings: &Settings,
        environment: &Environment,
        is_listed: impl Fn(&dyn Backend) -> bool,
        chosen: Option<Kind>,
    ) -> Self {
        let mut installed = Installed { models: Vec::new(), failures: Vec::new() };
        for backend in ALL.into_iter().filter(|backend| is_listed(*backend)) {
            let kind = backend.kind();
            match backend.models(settings, environment, chosen == Some(kind)).await {
                Ok(models) => installed.models.extend(models.into_iter().flatten().map(|model| (kind, model))),
                Err(failure) => installed.failures.push((kind, failure)),
            }
        }
        installed
    }

    /// Returns the backends that have the model, each with the name to configure.
    pub(crate) fn owners(&self, name: &str) -> Vec<(Kind, &str)> {
        let is_it =
            |kind: Kind, model: &ListedModel| model.name == name || backend(kind).is_same_model(&model.served, name);
        let mut owners: Vec<(Kind, &str)> = Vec::new();
        for (kind, model) in self.models.iter().filter(|(kind, model)| is_it(*kind, model)) {
            if !owners.iter().any(|(known, _)| known == kind) {
                owners.push((*kind, &model.name));
            }
        }
        owners
    }

    /// Returns why a session can't use a listed model, or `None` if it can as far as that is known.
    pub(crate) fn why_unusable(&self, kind: Kind, name: &str, settings: &Settings) -> Option<String> {
        let (_, model) = self.models.iter().find(|(of, model)| *of == kind && model.name == name)?;
        if model.tools == Some(false) {
            return Some("it cannot call tools, so Claude Code can't read or write files".into());
        }
        let machine = Machine::detect().map(Machine::with_tools);
        let installed = BackendModel::new(kind, model.clone(), settings, machine.as_ref());
        let is_too_large = installed.fits == Some(Fit::No) && settings.memory_check != Some(false);
        is_too_large.then(|| format!("it does not fit in memory with a context of {} tokens", settings.context()))
    }

    /// Returns the name most similar to `name`, if it is similar enough to be meant.
    pub(crate) fn nearest(&self, name: &str) -> Option<&str> {
        names::nearest_model(name, self.models.iter().map(|(_, model)| model.name.as_str()))
    }

    /// Returns the first names, for a message.
    pub(crate) fn describe(&self) -> String {
        match &self.models.iter().map(|(_, model)| model.name.as_str()).collect::<Vec<_>>()[..] {
            [] => "no model is installed".into(),
            names => format!("installed: {}", names::list_some(names)),
        }
    }
}

/// A model of a backend, and whether it fits in memory.
#[derive(Debug, Clone)]
pub(crate) struct BackendModel {
    pub kind: Kind,
    pub model: ListedModel,
    /// Bytes needed at the requested context window.
    pub need: Option<u64>,
    pub fits: Option<Fit>,
}

impl BackendModel {
    /// Returns a model with the memory that it needs at the requested context window.
    pub(crate) fn new(kind: Kind, model: ListedModel, settings: &Settings, machine: Option<&Machine>) -> Self {
        let kept_prompts = backend(kind).kept_prompts(settings, 1);
        let estimate =
            model.model.clone().map(|model| Estimate { models: vec![model], kept_prompts, cache_setting: None });
        let estimate = estimate.filter(Estimate::is_known);
        BackendModel {
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

/// Returns the models that a session could use, the best first: those that fit before those that are tight, those that
/// were trained for the requested context before others, then the larger ones. Configured models don't matter.
///
/// They are the models of `only`, or of all backends that are installed. A backend that lists its models only while it
/// runs has none if it doesn't run.
pub(crate) async fn list_usable(
    only: Option<Kind>,
    settings: &Settings,
    environment: &Environment,
) -> Vec<BackendModel> {
    let mut settings = settings.clone();
    settings.backend = only;
    // It may be missing, so a backend that looks for it would fail.
    settings.model = None;
    let is_listed = |backend: &dyn Backend| match only {
        Some(kind) => backend.kind() == kind,
        None => backend.is_detected() && backend.program(&settings, environment).is_ok(),
    };
    let installed = Installed::list(&settings, environment, is_listed, only).await;
    let machine = Machine::detect().map(Machine::with_tools);
    let model = |(kind, model)| BackendModel::new(kind, model, &settings, machine.as_ref());
    rank(installed.models.into_iter().map(model).collect(), &settings)
}

/// Returns the usable ones of the models that a running server reports, the best first. All of them can call tools.
pub(crate) fn rank_reported(kind: Kind, models: &[ReportedModel], settings: &Settings) -> Vec<BackendModel> {
    let installed = |ReportedModel { name, size, trained }: &ReportedModel| {
        let named = ListedModel::named(name);
        let model = ListedModel { size: *size, trained: *trained, tools: Some(true), ..named };
        BackendModel { kind, model, need: None, fits: None }
    };
    rank(models.iter().map(installed).collect(), settings)
}

/// Returns the usable ones of these models, the best first.
fn rank(mut found: Vec<BackendModel>, settings: &Settings) -> Vec<BackendModel> {
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
pub(crate) fn find_near<'a>(model: &str, usable: &'a [BackendModel]) -> Option<&'a BackendModel> {
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
