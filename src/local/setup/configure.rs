//! The third and fourth steps: writes the backend and model to the user's configuration.

use std::path::Path;

use toml_edit::Value;

use super::{
    model,
    step::{Action, Step},
};
use crate::{
    backend::{self, registry},
    base::{environment::Environment, error::Result},
    claude,
    config::{self, Edit, Kind, Settings, Source, url_kind},
};

/// What later sessions use by default.
pub(crate) struct WantedSettings {
    backend: Kind,
    /// `None` if the configuration selects it in another way.
    model: Option<String>,
    /// Tokens, if the user chose a value.
    context: Option<u32>,
    /// The URL of an endpoint.
    url: Option<String>,
}

impl WantedSettings {
    pub(crate) fn new(backend: Kind, settings: &Settings, environment: &Environment) -> Self {
        let model = model::wanted(backend, settings).map(|name| {
            if !registry::backend(backend).claims_model(&name) {
                return name;
            }
            // A relative path in the file would be resolved against another directory.
            environment.with_tilde(&settings.model_path("model", &name, environment))
        });
        let url = settings.endpoint.url.as_deref().filter(|_| backend == url_kind());
        let url = url.and_then(|url| config::server_url(url).ok());
        WantedSettings { backend, model, context: settings.context, url }
    }

    /// Returns the change that `file` needs, or `None` if it needs none.
    ///
    /// # Errors
    /// `Config` if the file can't be read.
    pub(crate) fn missing_from(&self, settings: &Settings, file: &Path) -> Result<Option<Edit>> {
        // The profile would override these values.
        if settings.profile.is_some() {
            return Ok(None);
        }
        let wanted = [
            ("backend", Some(Value::from(self.backend.to_string()))),
            ("model", self.model.as_ref().map(Value::from)),
            ("context", self.context.map(|tokens| Value::from(i64::from(tokens)))),
            ("endpoint.url", self.url.as_ref().map(Value::from)),
        ];
        if self.url.is_some() && settings.source("endpoint.url").is_typed() {
            backend::url_to_write(settings, "lclaude local config set endpoint.url")?;
        }
        // Values that come from the file stay as they are written there.
        let is_new =
            |key: &str| matches!(settings.source(key), Source::Default | Source::Variable(_) | Source::Option(_));
        let wanted = wanted.into_iter().filter(|(key, value)| value.is_some() && is_new(key));
        let overriding = backend::keys_over_model(self.backend, settings, file);
        let overriding = overriding.filter(|_| self.model.is_some() && is_new("model")).map(|key| (key, None));
        let edit = Edit::of(file, &config::read_text(file, false)?, wanted.chain(overriding))?;
        Ok(Some(edit).filter(|edit| !edit.is_empty()))
    }

    /// Returns the options that a later `lclaude` needs in addition to the configuration.
    pub(crate) fn options(&self, configured: &Settings, environment: &Environment) -> Vec<String> {
        let mut options = Vec::new();
        let mut add = |name: &str, value: &str| options.extend([name.to_owned(), value.to_owned()]);
        match &self.url {
            Some(url) if configured.endpoint.url.as_ref() != Some(url) => add("--url", url),
            _ if configured.backend != Some(self.backend) => add("--backend", &self.backend.to_string()),
            _ => {}
        }
        let configured_model = WantedSettings::new(self.backend, configured, environment).model;
        if let Some(model) = self.model.as_ref().filter(|model| Some(*model) != configured_model.as_ref()) {
            add("--model", model);
        }
        if let Some(context) = self.context.filter(|context| Some(*context) != configured.context) {
            add("--context", &context.to_string());
        }
        options
    }
}

pub(crate) fn step(edit: Option<&Edit>, file: &Path) -> Step {
    let found = match edit {
        Some(_) if !file.exists() => format!("{} does not exist yet", file.display()),
        Some(edit) if edit.changes => format!("{} has different values", file.display()),
        _ => file.display().to_string(),
    };
    let actions = edit.cloned().map(Action::Write).into_iter().collect();
    Step { title: "configuration", found: vec![found], actions }
}

/// Returns the fourth step, which has nothing to do.
pub(crate) fn betas_off() -> Step {
    let variables = claude::BETAS_OFF.map(|(name, value)| format!("{name}={value}"));
    let mut found = vec!["set only for Claude Code started by lclaude (lclaude --dry-run lists all variables):".into()];
    found.extend(variables.map(|line| format!("  {line}")));
    found.push("Claude Code's settings files and your shell profile are not changed".into());
    Step { title: "betas off", found, actions: Vec::new() }
}
