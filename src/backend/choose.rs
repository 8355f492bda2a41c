//! Choosing a backend, and the models of Claude Code's tiers.

use std::collections::BTreeMap;

use super::{
    interface::Backend,
    plan::BackendPlan,
    registry::{ALL, backend},
};
use crate::{
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
    },
    config::{Kind, Settings, Tier},
};

/// The model of each of Claude Code's tiers, exactly as the backend knows it. A tier without one is left to Claude Code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiers(BTreeMap<Tier, String>);

impl Tiers {
    /// Returns a tier's model.
    pub fn model(&self, tier: Tier) -> Option<&str> {
        self.0.get(&tier).map(String::as_str)
    }

    /// Returns every tier that has a model, with its model.
    pub fn iter(&self) -> impl Iterator<Item = (Tier, &str)> {
        Tier::ALL.into_iter().filter_map(|tier| Some((tier, self.model(tier)?)))
    }
}

/// A plan, and why it is this one, if nobody chose.
pub struct Chosen {
    pub plan: BackendPlan,
    pub tiers: Tiers,
    pub reason: Option<String>,
}

/// Returns the kind of backend, and why it is this one, if nobody chose.
///
/// # Errors
/// `Unavailable` when none is installed.
pub fn choose(settings: &Settings, environment: &Environment) -> Result<(Kind, Option<String>)> {
    if let Some(kind) = settings.backend {
        return Ok((kind, None));
    }
    let (kind, why) = detect(settings, environment)?;
    Ok((kind, Some(format!("using {kind}: {why}; backend = \"{kind}\" in the configuration says so for good"))))
}

/// Returns the plan of the backend that is chosen.
///
/// # Errors
/// `Unavailable` when no backend is installed; for the rest see each backend's own.
pub fn plan(settings: &Settings, environment: &Environment) -> Result<Chosen> {
    let (kind, reason) = choose(settings, environment)?;
    let backend = backend(kind);
    let plan = backend.plan(settings, environment)?;
    if serde_json::to_vec(&plan).is_err() {
        return Err(Failure::new(Code::Unavailable, format!("{} cannot be used", plan.name()))
            .why("its path is not UTF-8, and its keeper is told it as text")
            .help("mv it to a directory whose name is UTF-8"));
    }
    let tiers = tiers(backend, settings, &plan)?;
    Ok(Chosen { plan, tiers, reason })
}

fn tiers(backend: &dyn Backend, settings: &Settings, plan: &BackendPlan) -> Result<Tiers> {
    let mut tiers: BTreeMap<Tier, String> = Tier::MAIN.map(|tier| (tier, plan.models[0].clone())).into();
    for (tier, name) in &settings.models {
        // As the backend completes it.
        let served = plan.models.iter().find(|served| backend.is_same_model(served, name));
        tiers.insert(*tier, served.ok_or_else(|| one_model(settings, plan, name))?.clone());
    }
    Ok(Tiers(tiers))
}

fn one_model(settings: &Settings, plan: &BackendPlan, name: &str) -> Failure {
    Failure::new(Code::Config, format!("{} serves one model, and [models] names {name} too", plan.kind))
        .why(format!(
            "it serves {}; {} sets [models]",
            plan.models[0],
            settings.source("models.haiku").max(settings.source("models.opus"))
        ))
        .help("remove [models], or use a backend that serves several, such as ollama")
}

/// Returns the backend that is used when the user names none, and why it is this one.
///
/// # Errors
/// `Unavailable` when none is installed.
pub fn detect(settings: &Settings, environment: &Environment) -> Result<(Kind, String)> {
    find(settings, environment)?.ok_or_else(|| {
        let hints = |(at, backend): (usize, &&'static dyn Backend)| match at {
            0 => backend.install_hint(),
            _ => format!("or {}: {}", backend.title(), backend.install_hint()),
        };
        // LM Studio is an app with a window; those who want it have it.
        let offered = ALL.iter().filter(|backend| backend.is_detected() && backend.knows_models_offline());
        let failure = Failure::new(Code::Unavailable, "no backend is installed")
            .why("neither ollama, lms nor llama-server was found on PATH or where their installers put them");
        offered
            .enumerate()
            .map(hints)
            .fold(failure, Failure::help)
            .help("or a server that runs elsewhere: [endpoint] url = \"https://…\", with backend = \"endpoint\"")
    })
}

/// Returns the kind that is named, or else the one that is found.
pub fn kind(settings: &Settings, environment: &Environment) -> Option<Kind> {
    settings.backend.or_else(|| find(settings, environment).ok()?.map(|(kind, _)| kind))
}

/// Returns the installed backend that has the wanted models already, else one that has any, else the first installed one.
fn find(settings: &Settings, environment: &Environment) -> Result<Option<(Kind, String)>> {
    // A model that only one of them could mean.
    if let Some(model) = &settings.model
        && let Some(backend) = ALL.into_iter().find(|backend| backend.alone_knows(model))
    {
        return Ok(Some((backend.kind(), "the model is a GGUF file".into())));
    }
    let is_there = |backend: &&dyn Backend| backend.is_detected() && backend.program(settings, environment).is_ok();
    let installed: Vec<&dyn Backend> = ALL.into_iter().filter(is_there).collect();
    for backend in &installed {
        if let Some(names) = backend.installed_wanted(settings, environment)? {
            return Ok(Some((backend.kind(), format!("it is installed and has {}", names.join(" and ")))));
        }
    }
    if let Some(backend) = installed.iter().find(|backend| backend.has_models(settings, environment)) {
        return Ok(Some((backend.kind(), "it is installed and has models".into())));
    }
    Ok(installed.first().map(|backend| (backend.kind(), "it is installed".into())))
}
