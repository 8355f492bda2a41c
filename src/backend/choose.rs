//! Chooses the backend, and the model of each of Claude Code's tiers.

use std::{collections::BTreeMap, path::Path};

use super::{
    interface::Backend,
    plan::BackendPlan,
    registry::{ALL, backend},
};
use crate::{
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        wsl,
    },
    config::{Kind, Settings, Source, Tier},
};

/// The model of each of Claude Code's tiers, under the name that the backend serves it by. Claude Code decides about a
/// tier without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tiers(BTreeMap<Tier, String>);

impl Tiers {
    /// Returns a tier's model.
    pub(crate) fn model(&self, tier: Tier) -> Option<&str> {
        self.0.get(&tier).map(String::as_str)
    }

    /// Returns every tier that has a model, with its model.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Tier, &str)> {
        Tier::ALL.into_iter().filter_map(|tier| Some((tier, self.model(tier)?)))
    }
}

/// A plan, and the reason for its backend if lclaude chose that itself.
pub(crate) struct ChosenBackend {
    pub plan: BackendPlan,
    pub tiers: Tiers,
    pub reason: Option<String>,
}

/// Returns the kind of backend, and the reason if lclaude chose it itself.
///
/// # Errors
/// `Unavailable` if no backend is installed.
pub(crate) fn choose(settings: &Settings, environment: &Environment) -> Result<(Kind, Option<String>)> {
    if let Some(kind) = settings.backend {
        return Ok((kind, None));
    }
    let (kind, why) = detect(settings, environment)?;
    Ok((kind, Some(format!("using {kind}: {why} (to make this the default: lclaude local config set backend {kind})"))))
}

/// Returns the plan of the configured or detected backend.
///
/// # Errors
/// `Unavailable` if no backend is installed, and the errors of that backend's `plan`.
pub(crate) fn plan(settings: &Settings, environment: &Environment) -> Result<ChosenBackend> {
    let (kind, reason) = choose(settings, environment)?;
    let backend = backend(kind);
    let plan = backend.plan(settings, environment)?;
    if wsl::version() == Some(wsl::Version::One) && backend.needs_keeper() {
        return Err(too_old_for(kind));
    }
    if serde_json::to_vec(&plan).is_err() {
        return Err(Failure::new(Code::Unavailable, format!("{} cannot be used", plan.name()))
            .cause("paths must be valid UTF-8")
            .help("move it to a directory with a UTF-8 name"));
    }
    let tiers = tiers(backend, settings, &plan)?;
    Ok(ChosenBackend { plan, tiers, reason })
}

fn too_old_for(kind: Kind) -> Failure {
    Failure::new(Code::Unavailable, format!("{kind} can't be used in WSL 1"))
        .cause("WSL 1 doesn't tell which program listens on a port, so another one could get your code")
        .help(wsl::UPGRADE)
        .help("lclaude --url http://HOST:PORT  # uses a server that is already running")
}

fn tiers(backend: &dyn Backend, settings: &Settings, plan: &BackendPlan) -> Result<Tiers> {
    let mut tiers: BTreeMap<Tier, String> = Tier::MAIN.map(|tier| (tier, plan.models[0].clone())).into();
    for (tier, name) in &settings.models {
        // The backend may have completed the name, for example with a tag.
        let served = plan.models.iter().find(|served| backend.is_same_model(served, name));
        tiers.insert(*tier, served.ok_or_else(|| serves_only_one(settings, plan, name))?.clone());
    }
    Ok(Tiers(tiers))
}

fn serves_only_one(settings: &Settings, plan: &BackendPlan, name: &str) -> Failure {
    Failure::new(Code::Config, format!("{} cannot also serve {name}", plan.kind))
        .cause(format!(
            "it serves one model, {}, but {} sets [models]",
            plan.models[0],
            settings.source("models.haiku").max(settings.source("models.opus"))
        ))
        .help("remove [models]")
        .help("lclaude --backend ollama  # serves several models")
}

/// Returns the keys of a file that override `model` in the same file, for this kind of backend.
pub(crate) fn keys_over_model(kind: Kind, settings: &Settings, file: &Path) -> impl Iterator<Item = &'static str> {
    let is_set = |key: &&str| settings.source(key) == Source::File(file.to_owned());
    backend(kind).main_model_keys().iter().copied().filter(is_set)
}

/// Returns the backend to use if none is configured, and the reason.
///
/// # Errors
/// `Unavailable` if none is installed.
pub(crate) fn detect(settings: &Settings, environment: &Environment) -> Result<(Kind, String)> {
    find(settings, environment)?.ok_or_else(|| {
        let hint = |backend: &&'static dyn Backend| format!("{}  # {}", backend.install_hint(), backend.title());
        // LM Studio is a desktop app, so it isn't suggested.
        let offered = ALL.iter().filter(|backend| backend.is_detected() && backend.knows_models_offline());
        let failure = Failure::new(Code::Unavailable, "no backend is installed")
            .cause("ollama, lms, llama-server and llama are not on PATH or in their usual locations");
        failure.helps(offered.map(hint)).help("lclaude --url http://HOST:PORT  # uses a server that is already running")
    })
}

/// Returns the installed backend that has the wanted models, or the only one that can run the model, or one that has any
/// models, or the first installed one.
fn find(settings: &Settings, environment: &Environment) -> Result<Option<(Kind, String)>> {
    let by_name = settings.model.as_ref().and_then(|model| {
        let kind = only_kind(model)?;
        Some((kind, format!("only {} runs {model}", backend(kind).title())))
    });
    if let Some((kind, _)) = &by_name
        && settings.model.as_ref().is_some_and(|model| backend(*kind).claims_model(model))
    {
        return Ok(by_name);
    }
    // Looked for one after the other, since finding a program may mean running it.
    let is_there = |backend: &&dyn Backend| backend.is_detected() && backend.program(settings, environment).is_ok();
    let installed = || ALL.into_iter().filter(is_there);
    for backend in installed() {
        if let Some(names) = backend.installed_wanted(settings, environment)? {
            return Ok(Some((backend.kind(), format!("it is installed and has {}", names.join(" and ")))));
        }
    }
    if by_name.is_some() {
        return Ok(by_name);
    }
    if let Some(backend) = installed().find(|backend| backend.has_models(settings, environment)) {
        return Ok(Some((backend.kind(), "it is installed and has models".into())));
    }
    Ok(installed().next().map(|backend| (backend.kind(), "it is installed".into())))
}

/// Returns the only kind that can run a model with this name, whether or not it is on this machine: a GGUF file, or a
/// repository of GGUF files on Hugging Face.
pub(crate) fn only_kind(name: &str) -> Option<Kind> {
    let claiming = ALL.into_iter().find(|backend| backend.claims_model(name)).map(Backend::kind);
    claiming.or(names_gguf_repository(name).then_some(Kind::LlamaCpp))
}

/// Returns whether a name is that of a repository, `user/repo-GGUF[:quant]`. One with a host, such as
/// `hf.co/user/repo`, is Ollama's.
fn names_gguf_repository(name: &str) -> bool {
    let repository = name.split(':').next().unwrap_or_default();
    repository.split_once('/').is_some_and(|(user, repository)| {
        !user.contains('.') && !repository.contains('/') && repository.to_lowercase().contains("gguf")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_llamacpp_runs_files_and_repositories() {
        for name in ["x.gguf", "~/models/X.GGUF", "unsloth/Qwen3-GGUF", "unsloth/Qwen3-GGUF:Q4_K_M"] {
            assert_eq!(only_kind(name), Some(Kind::LlamaCpp), "{name}");
        }
        for name in ["qwen3:4b", "me/coder:30b", "hf.co/unsloth/Qwen3-GGUF", "qwen3-gguf", ""] {
            assert_eq!(only_kind(name), None, "{name}");
        }
    }
}
