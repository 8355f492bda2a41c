//! Choosing a backend, and the models of Claude Code's tiers.

use std::path::{Path, PathBuf};

use super::{command, endpoint, install, llamacpp, lmstudio, ollama, plan::BackendPlan};
use crate::config::Kind;
use crate::{
    base::error::{Code, Failure, Result},
    config::{Instance, Models, Settings},
};

/// What is used where nobody names a model: small enough for 32 GB, and able to call tools.
pub const DEFAULT_MODEL: &str = "glm-4.7-flash";

/// The model of each of Claude Code's tiers, exactly as the backend knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiers {
    pub opus: String,
    pub sonnet: String,
    pub haiku: String,
    pub fable: String,
    /// `None`: whatever the agent's own definition says.
    pub subagent: Option<String>,
}

/// A plan, and why it is this one, if nobody chose.
pub struct Chosen {
    pub plan: BackendPlan,
    pub tiers: Tiers,
    pub reason: Option<String>,
}

/// The kind of backend, and why it is this one, if nobody chose.
///
/// # Errors
/// `Unavailable` when none is installed.
pub fn choose(settings: &Settings, home: &Path, here: &Path) -> Result<(Kind, Option<String>)> {
    if let Some(kind) = settings.backend {
        return Ok((kind, None));
    }
    let (kind, why) = detect(settings, home, here)?;
    Ok((kind, Some(format!("using {kind}: {why}; backend = \"{kind}\" in the configuration says so for good"))))
}

/// # Errors
/// `Unavailable` when no backend is installed; for the rest see each backend's own.
pub fn plan(settings: &Settings, home: &Path, here: &Path) -> Result<Chosen> {
    let (kind, reason) = choose(settings, home, here)?;
    let plan = match kind {
        Kind::LlamaCpp => llamacpp::plan(settings, home, here)?,
        Kind::LmStudio => lmstudio::plan(settings, &wanted(settings, Some(lmstudio::DEFAULT_MODEL))?, home, here)?,
        Kind::Ollama => ollama::plan(settings, &wanted(settings, Some(DEFAULT_MODEL))?, home, here)?,
        Kind::Command => command::plan(settings, &wanted(settings, None)?, home, here)?,
        Kind::Endpoint => endpoint::plan(settings, &wanted(settings, None)?)?,
    };
    if serde_json::to_vec(&plan).is_err() {
        return Err(Failure::new(Code::Unavailable, format!("{} cannot be used", plan.name()))
            .why("its path is not UTF-8, and its keeper is told it as text")
            .help("mv it to a directory whose name is UTF-8"));
    }
    let tiers = tiers(settings, &plan)?;
    Ok(Chosen { plan, tiers, reason })
}

/// The program of a backend; `None` for one that needs none on this machine, or whose plan looks for it.
///
/// # Errors
/// `Unavailable` when it is not there.
pub fn program(kind: Kind, settings: &Settings, home: &Path, here: &Path) -> Result<Option<PathBuf>> {
    match kind {
        Kind::Ollama if settings.ollama.instance == Instance::Shared => Ok(None),
        Kind::Ollama => ollama::program(settings, home, here).map(Some),
        Kind::LmStudio => lmstudio::program(settings, home, here).map(Some),
        Kind::LlamaCpp => llamacpp::program(settings, home, here).map(Some),
        Kind::Command | Kind::Endpoint => Ok(None),
    }
}

/// The names the user wants, the main one first, each once.
fn wanted(settings: &Settings, default: Option<&str>) -> Result<Vec<String>> {
    let Models { opus, sonnet, haiku, fable, .. } = &settings.models;
    let main = settings.model.as_deref().or(sonnet.as_deref()).or(opus.as_deref()).or(default);
    let Some(main) = main else {
        return Err(Failure::new(Code::Config, "no model is chosen")
            .why("the server has to be asked for one by its name")
            .help("--model NAME, or model = \"NAME\" in the configuration"));
    };
    let mut names = vec![main.to_owned()];
    for (_, name) in settings.models.named() {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    // Unless a tier is left to it, the general model is asked for by nobody.
    let all_named = [opus, sonnet, haiku, fable].iter().all(|tier| tier.is_some());
    if all_named && settings.model.is_some() && !settings.models.named().any(|(_, name)| name == main) {
        names.remove(0);
    }
    Ok(names)
}

fn tiers(settings: &Settings, plan: &BackendPlan) -> Result<Tiers> {
    let main = || plan.models[0].clone();
    let Models { opus, sonnet, haiku, fable, subagent } = &settings.models;
    let name = |tier: &Option<String>| -> Result<Option<String>> {
        let Some(name) = tier else {
            return Ok(None);
        };
        // As the backend completes it.
        let found = plan.models.iter().find(|model| match plan.kind {
            Kind::Ollama => ollama::is_same(model, name),
            Kind::LmStudio => **model == lmstudio::identifier(name),
            Kind::LlamaCpp => *model == name || **model == llamacpp::served_name(Path::new(name)),
            Kind::Command | Kind::Endpoint => *model == name,
        });
        found.cloned().map(Some).ok_or_else(|| one_model(settings, plan, name))
    };
    Ok(Tiers {
        opus: name(opus)?.unwrap_or_else(main),
        sonnet: name(sonnet)?.unwrap_or_else(main),
        haiku: name(haiku)?.unwrap_or_else(main),
        fable: name(fable)?.unwrap_or_else(main),
        subagent: name(subagent)?,
    })
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

/// Whether the user wrote a name that is this one into their own file, and did not type or export it.
pub fn is_in_own_file(settings: &Settings, is_this: impl Fn(&str) -> bool) -> bool {
    settings.model_names().any(|(key, name)| is_this(name) && settings.is_from_own_file(key))
}

/// The name most like `model`, if it is like enough to have been meant.
pub fn nearest_model<'a>(model: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.trim_end_matches(":latest").to_lowercase();
    // What most people leave out or get wrong is who made it, and the tag.
    let family = |name: &str| plain(name).rsplit('/').next().unwrap_or_default().split(':').next().map(str::to_owned);
    let likeness = |name: &str| {
        let whole = strsim::jaro_winkler(&plain(model), &plain(name));
        if family(model) == family(name) { whole.max(0.99) } else { whole }
    };
    let scored = names.map(|name| (likeness(name), name)).filter(|(score, _)| *score > 0.8);
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// The backend that is found by itself, and why it is this one.
///
/// # Errors
/// `Unavailable` when none is installed.
pub fn detect(settings: &Settings, home: &Path, here: &Path) -> Result<(Kind, String)> {
    by_itself(settings, home, here)?.ok_or_else(|| {
        Failure::new(Code::Unavailable, "no backend is installed")
            .why("neither ollama, lms nor llama-server was found on PATH or where their installers put them")
            .help(install::best(Kind::Ollama))
            .help(format!("or llama.cpp: {}", install::best(Kind::LlamaCpp)))
            .help("or a server that runs elsewhere: [endpoint] url = \"https://…\", with backend = \"endpoint\"")
    })
}

/// The kind that is named, or else found by itself.
pub fn kind(settings: &Settings, home: &Path, here: &Path) -> Option<Kind> {
    settings.backend.or_else(|| by_itself(settings, home, here).ok()?.map(|(kind, _)| kind))
}

/// The installed one that has the wanted models already, else one that has any, else the first installed one.
fn by_itself(settings: &Settings, home: &Path, here: &Path) -> Result<Option<(Kind, String)>> {
    // A model that only one of them could mean.
    if settings.model.as_ref().is_some_and(|model| model.to_lowercase().ends_with(".gguf")) {
        return Ok(Some((Kind::LlamaCpp, "the model is a GGUF file".into())));
    }
    let is_there = |kind: &Kind| program(*kind, settings, home, here).is_ok();
    let installed: Vec<Kind> = [Kind::Ollama, Kind::LmStudio, Kind::LlamaCpp].into_iter().filter(is_there).collect();
    for kind in &installed {
        if let Some(names) = at_hand(*kind, settings, home, here)? {
            return Ok(Some((*kind, format!("it is installed and has {}", names.join(" and ")))));
        }
    }
    let has_any = |kind: &&Kind| match kind {
        Kind::Ollama => ollama::has(settings, None, home, here),
        Kind::LmStudio => lmstudio::has(None, home),
        _ => llamacpp::has_any(home),
    };
    if let Some(kind) = installed.iter().find(has_any) {
        return Ok(Some((*kind, "it is installed and has models".into())));
    }
    Ok(installed.first().map(|kind| (*kind, "it is installed".into())))
}

/// The wanted models, if a backend has them all: found without starting anything.
fn at_hand(kind: Kind, settings: &Settings, home: &Path, here: &Path) -> Result<Option<Vec<String>>> {
    let (names, has): (_, &dyn Fn(&String) -> bool) = match kind {
        Kind::Ollama => (wanted(settings, Some(DEFAULT_MODEL))?, &|name| ollama::has(settings, Some(name), home, here)),
        Kind::LmStudio => (wanted(settings, Some(lmstudio::DEFAULT_MODEL))?, &|name| lmstudio::has(Some(name), home)),
        _ => return Ok(llamacpp::at_hand(settings, home, here)),
    };
    Ok(names.iter().all(has).then_some(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_is_nearly_the_one_is_named() {
        let near = |model| nearest_model(model, ["qwen3:4b", "glm-4.7-flash:latest", "me/coder:30b"].into_iter());
        assert_eq!(near("qwen3:latest"), Some("qwen3:4b"));
        assert_eq!(near("glm-4.7-flsh:latest"), Some("glm-4.7-flash:latest"));
        assert_eq!(near("coder:30b"), Some("me/coder:30b"));
        assert_eq!(near("nothing-like-it"), None);
    }
}
