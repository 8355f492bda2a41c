//! The second step: the model, as far as it is known without a server that runs.

use std::path::Path;

use super::{
    programs::Programs,
    step::{Action, Step},
};
use crate::{
    backend::{self, BackendPlan, Service, find, llamacpp, lmstudio, ollama},
    base::{
        error::{Failure, Result},
        ui,
    },
    config::{Kind, Settings},
    session::plan,
};

pub struct Model {
    names: Vec<String>,
    origin: String,
    missing: Vec<String>,
    /// What is like the missing one, where that is known.
    near: Option<Failure>,
    /// Whether it fits, in one line.
    memory: Option<String>,
    /// Bytes, where they are known.
    size: Option<u64>,
    /// Only its own server knows what LM Studio has.
    is_known: bool,
}

/// # Errors
/// As a session's plan, whatever is wrong with the settings; and a model that no session could use.
pub async fn look(programs: &Programs, settings: &Settings, home: &Path, here: &Path) -> Result<Model> {
    if !programs.has_backend() {
        return Ok(before(programs.kind, settings));
    }
    let backend::Chosen { plan, .. } = backend::plan(settings, home, here)?;
    let known = backend::fit::look(settings, &plan, home, here);
    plan::enough_trained(settings, &plan.models[0], known.trained)?;
    let missing = missing(&plan, home).await;
    let near = missing.first().filter(|_| plan.kind == Kind::Ollama);
    Ok(Model {
        near: near.and_then(|model| ollama::not_installed(&plan, model, home)),
        memory: known.memory,
        size: known.weights,
        is_known: plan.kind != Kind::LmStudio,
        names: plan.models.iter().map(|name| lmstudio::key(name).to_owned()).collect(),
        origin: plan.origin,
        missing,
    })
}

/// What can be said before there is a backend.
fn before(kind: Kind, settings: &Settings) -> Model {
    let wanted = wanted(kind, settings);
    let (origin, missing) = match &wanted {
        Some(name) if name.ends_with(".gguf") => ("a file".to_owned(), Vec::new()),
        Some(name) => (format!("what {kind} has is known once it is installed"), vec![name.clone()]),
        None => ("as the configuration says".to_owned(), Vec::new()),
    };
    let names = vec![wanted.unwrap_or_else(|| "the model".into())];
    Model { names, origin, missing, near: None, memory: None, size: None, is_known: true }
}

async fn missing(plan: &BackendPlan, home: &Path) -> Vec<String> {
    match (plan.kind, &plan.service) {
        (Kind::LlamaCpp, _) => llamacpp::to_be_downloaded(&plan.models, home),
        (Kind::Ollama, Service::Running(url)) => ollama::missing_at(url, plan).await,
        (Kind::Ollama, _) => ollama::missing(plan, home).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// The model that the settings name for this backend, or else its default; `None` where it is named in another way.
pub fn wanted(kind: Kind, settings: &Settings) -> Option<String> {
    if settings.model.is_some() {
        return settings.model.clone();
    }
    match kind {
        Kind::LlamaCpp if settings.llamacpp.gguf.is_some() || settings.llamacpp.hf.is_some() => None,
        Kind::LlamaCpp => Some(llamacpp::DEFAULT_MODEL.into()),
        // The main tiers have models of their own.
        _ if settings.models.sonnet.is_some() || settings.models.opus.is_some() => None,
        Kind::Ollama => Some(find::DEFAULT_MODEL.into()),
        Kind::LmStudio => Some(lmstudio::DEFAULT_MODEL.into()),
        Kind::Command | Kind::Endpoint => None,
    }
}

impl Model {
    pub fn step(&self) -> Step {
        let mut step = Step { title: "model", found: Vec::new(), actions: Vec::new() };
        let names = self.names.join(", ");
        step.found.push(match &self.missing[..] {
            [] if self.is_known => format!("{names}, {}", self.origin),
            [] => format!("{names}: LM Studio says itself whether it has it, in step 5"),
            // Its origin may be its name once more, and where that is from.
            [name] if self.origin.starts_with(name.as_str()) => {
                format!("not here yet: {}", self.origin)
            }
            missing if self.origin.starts_with('/') => {
                format!("{} is not in {} yet", missing.join(" and "), self.origin)
            }
            missing => format!("{} is not here yet; {}", missing.join(" and "), self.origin),
        });
        if let Some(near) = &self.near {
            step.found.extend(near.why.clone());
            step.found.extend(near.help.first().filter(|help| help.starts_with("did you mean")).cloned());
        }
        step.found.extend(self.memory.iter().map(|memory| format!("memory: {memory}")));
        if !self.missing.is_empty() {
            // Of several, only all together would be known.
            let size = self.size.filter(|_| self.missing.len() == self.names.len()).map(ui::size);
            step.actions.push(Action::Download(self.missing.clone(), size));
        }
        step
    }

    /// What to do where the download is not wanted.
    pub fn by_hand(&self) -> Vec<String> {
        match &self.near {
            Some(near) => near.help.clone(),
            None => vec!["--model NAME takes another one; a GGUF file of your own: --backend llamacpp --model /path/to/model.gguf".into()],
        }
    }
}
