//! The third step: backend and model in the user's own configuration.

use std::path::Path;

use toml_edit::Value;

use super::{
    model,
    step::{Action, Step},
};
use crate::{
    backend::registry,
    base::environment::Environment,
    base::error::Result,
    config::{Edit, Kind, Settings, Source},
};

/// What a later `lclaude` is to use by itself.
pub struct Chosen {
    backend: Kind,
    /// `None`: the configuration names it in another way.
    model: Option<String>,
    /// Only if one is asked for.
    context: Option<u32>,
}

impl Chosen {
    pub fn new(backend: Kind, settings: &Settings, environment: &Environment) -> Self {
        let model = model::wanted(backend, settings).map(|name| {
            if !registry::backend(backend).alone_knows(&name) {
                return name;
            }
            // In a file a relative path would mean something else.
            let path = settings.model_path("model", &name, environment);
            path.canonicalize().unwrap_or(path).display().to_string()
        });
        Chosen { backend, model, context: settings.context }
    }

    /// What `file` lacks of it.
    ///
    /// # Errors
    /// `Config` for a file that cannot be read.
    pub fn lacking(&self, settings: &Settings, file: &Path) -> Result<Option<Edit>> {
        // Beside a profile the file's own values would not count.
        if settings.profile.is_some() {
            return Ok(None);
        }
        let wanted = [
            ("backend", Some(Value::from(self.backend.to_string()))),
            ("model", self.model.as_ref().map(Value::from)),
            ("context", self.context.map(|tokens| Value::from(i64::from(tokens)))),
        ];
        // What the file says already stays as it is written there.
        let is_new =
            |key: &str| matches!(settings.source(key), Source::Default | Source::Variable(_) | Source::Option(_));
        Edit::new(
            file,
            wanted.into_iter().filter_map(|(key, value)| Some((key, value?))).filter(|(key, _)| is_new(key)),
        )
    }

    /// The options that a later `lclaude` needs for it, with what the configuration says by then.
    pub fn options(&self, configured: &Settings, environment: &Environment) -> Vec<String> {
        let mut options = Vec::new();
        let mut add = |name: &str, value: &str| options.extend([name.to_owned(), value.to_owned()]);
        if configured.backend != Some(self.backend) {
            add("--backend", &self.backend.to_string());
        }
        let configured_model = Chosen::new(self.backend, configured, environment).model;
        if let Some(model) = self.model.as_ref().filter(|model| Some(*model) != configured_model.as_ref()) {
            add("--model", model);
        }
        if let Some(context) = self.context.filter(|context| Some(*context) != configured.context) {
            add("--context", &context.to_string());
        }
        options
    }
}

pub fn step(edit: Option<&Edit>, file: &Path) -> Step {
    let found = match edit {
        Some(_) if !file.exists() => format!("{} is not there yet", file.display()),
        Some(edit) if edit.changes => format!("{} says something else", file.display()),
        _ => file.display().to_string(),
    };
    let actions = edit.cloned().map(Action::Write).into_iter().collect();
    Step { title: "configuration", found: vec![found], actions }
}
