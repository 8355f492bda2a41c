//! The second step: the model, as far as it is known without a running server.

use super::{
    programs::Programs,
    step::{Action, Step},
};
use crate::{
    backend::{self, context::enough_trained, names::nearest_model, registry},
    base::{
        environment::Environment,
        error::{Failure, Result},
        pattern::is_gguf,
        ui,
    },
    config::{Kind, Settings},
};

pub(crate) struct ModelStep {
    names: Vec<String>,
    origin: String,
    missing: Vec<String>,
    /// The failure for the first missing model, if the backend has one.
    not_installed: Option<Failure>,
    /// The installed model whose name is most similar to the first missing one.
    near: Option<String>,
    /// Whether the models fit, in one line.
    memory: Option<String>,
    /// Bytes, if known.
    size: Option<u64>,
    /// The title of the backend if it lists its models only while it runs.
    unlisted: Option<&'static str>,
}

/// Returns what is known about the models.
///
/// # Errors
/// Those of a session's plan, and a model that was trained for too small a context window.
pub(crate) async fn look(programs: &Programs, settings: &Settings, environment: &Environment) -> Result<ModelStep> {
    if !programs.has_backend() {
        return Ok(before_install(programs.kind, settings));
    }
    let backend::ChosenBackend { plan, .. } = backend::plan(settings, environment)?;
    let known = backend::fit::inspect(settings, &plan, environment);
    enough_trained(settings, &plan.models[0], known.trained)?;
    let backend = registry::backend(plan.kind);
    let missing = backend.missing(&plan, environment).await;
    let (mut not_installed, mut near) = (None, None);
    if let Some(model) = missing.first() {
        not_installed = backend.out_of_reach(settings, &plan, model, environment).await;
        if not_installed.is_none() {
            not_installed = backend.not_installed(&plan, model, environment);
            let installed = backend.model_names(settings, environment).await;
            near = nearest_model(model, installed.iter().map(String::as_str)).map(str::to_owned);
        }
    }
    Ok(ModelStep {
        not_installed,
        near,
        memory: known.memory,
        size: known.weights,
        unlisted: (!backend.knows_models_offline()).then(|| backend.title()),
        names: plan.models.iter().map(|name| backend.model_name(name).to_owned()).collect(),
        origin: plan.origin,
        missing,
    })
}

/// Returns what is known before a backend is installed.
fn before_install(kind: Kind, settings: &Settings) -> ModelStep {
    let wanted = wanted(kind, settings);
    let (origin, missing) = match &wanted {
        Some(name) if is_gguf(name) => ("a file".to_owned(), Vec::new()),
        Some(name) => (format!("the models of {kind} are unknown until it is installed"), vec![name.clone()]),
        None => ("set in the configuration".to_owned(), Vec::new()),
    };
    let names = vec![wanted.unwrap_or_else(|| "the model".into())];
    ModelStep { names, origin, missing, not_installed: None, near: None, memory: None, size: None, unlisted: None }
}

/// Returns the model that the settings name for this backend, or its default; `None` if it is selected in another way.
pub(crate) fn wanted(kind: Kind, settings: &Settings) -> Option<String> {
    if settings.model.is_some() {
        return settings.model.clone();
    }
    let backend = registry::backend(kind);
    backend.default_model().filter(|_| !backend.names_main_model(settings)).map(str::to_owned)
}

impl ModelStep {
    /// Notes that the running server has the models.
    pub(crate) fn set_served(&mut self) {
        self.unlisted = None;
    }

    pub(crate) fn step(&self) -> Step {
        let mut step = Step { title: "model", found: Vec::new(), actions: Vec::new() };
        let names = self.names.join(", ");
        step.found.push(match &self.missing[..] {
            [] => match self.unlisted {
                None => format!("{names}, {}", self.origin),
                Some(title) => format!("{names}: {title} knows whether it is installed once it runs"),
            },
            // The origin may start with the name.
            [name] if self.origin.starts_with(name.as_str()) => {
                format!("not installed: {}", self.origin)
            }
            missing if self.origin.starts_with('/') => {
                format!("{} is not in {}", missing.join(" and "), self.origin)
            }
            missing => format!("{} is not installed; {}", missing.join(" and "), self.origin),
        });
        if let Some(failure) = &self.not_installed {
            step.found.extend(failure.why.clone());
        }
        step.found.extend(self.near.iter().map(|name| format!("did you mean {name}?")));
        step.found.extend(self.memory.iter().map(|memory| format!("memory: {memory}")));
        if !self.missing.is_empty() {
            // The size is known only for all models together.
            let size = self.size.filter(|_| self.missing.len() == self.names.len()).map(ui::format_bytes);
            step.actions.push(Action::Download(self.missing.clone(), size));
        }
        step
    }

    /// Returns the help for a user who declines the download.
    pub(crate) fn manual_help(&self) -> Vec<String> {
        match &self.not_installed {
            Some(failure) => failure.help.clone(),
            None => vec![
                "lclaude local setup --model NAME".into(),
                "lclaude local setup --backend llamacpp --model /path/to/model.gguf".into(),
            ],
        }
    }
}
