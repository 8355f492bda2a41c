//! The second step: the model, as far as it is known without a server that runs.

use crate::base::environment::Environment;

use super::{
    programs::Programs,
    step::{Action, Step},
};
use crate::{
    backend::{self, context::enough_trained, registry},
    base::{
        error::{Failure, Result},
        ui,
    },
    config::{Kind, Settings, Tier},
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
    /// The backend that knows its models only while it runs.
    unknown: Option<&'static str>,
}

/// # Errors
/// As a session's plan, whatever is wrong with the settings; and a model that no session could use.
pub async fn look(programs: &Programs, settings: &Settings, environment: &Environment) -> Result<Model> {
    if !programs.has_backend() {
        return Ok(before(programs.kind, settings));
    }
    let backend::Chosen { plan, .. } = backend::plan(settings, environment)?;
    let known = backend::fit::look(settings, &plan, environment);
    enough_trained(settings, &plan.models[0], known.trained)?;
    let backend = registry::backend(plan.kind);
    let missing = backend.missing(&plan, environment).await;
    Ok(Model {
        near: missing.first().and_then(|model| backend.not_installed(&plan, model, environment)),
        memory: known.memory,
        size: known.weights,
        unknown: (!backend.knows_models_offline()).then(|| backend.title()),
        names: plan.models.iter().map(|name| backend.model_name(name).to_owned()).collect(),
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
    Model { names, origin, missing, near: None, memory: None, size: None, unknown: None }
}

/// The model that the settings name for this backend, or else its default; `None` where it is named in another way.
pub fn wanted(kind: Kind, settings: &Settings) -> Option<String> {
    if settings.model.is_some() {
        return settings.model.clone();
    }
    let backend = registry::backend(kind);
    // The main tiers have models of their own.
    let by_tier = [Tier::Sonnet, Tier::Opus].iter().any(|tier| settings.models.contains_key(tier));
    let is_named = backend.has_own_model(settings) || by_tier;
    backend.default_model().filter(|_| !is_named).map(str::to_owned)
}

impl Model {
    pub fn step(&self) -> Step {
        let mut step = Step { title: "model", found: Vec::new(), actions: Vec::new() };
        let names = self.names.join(", ");
        step.found.push(match &self.missing[..] {
            [] => match self.unknown {
                None => format!("{names}, {}", self.origin),
                Some(title) => format!("{names}: {title} says itself whether it has it, in step 5"),
            },
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
