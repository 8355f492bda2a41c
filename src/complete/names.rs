//! Names to complete: backends, the user's profiles, and installed models.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::timeout;

use crate::{
    backend::{Backend, registry::ALL},
    base::{environment::Environment, ui, wait},
    config::{self, Overrides, Project, Settings},
};

/// How long a backend may take to list its models.
const LIST_TIMEOUT: Duration = Duration::from_millis(500);

/// The options before the cursor that determine the names.
#[derive(Default)]
pub(crate) struct ChosenOptions {
    backend: Option<String>,
    profile: Option<String>,
    config: Option<PathBuf>,
}

/// Returns the names of all backends.
pub(crate) fn backends() -> impl Iterator<Item = String> {
    ALL.into_iter().map(|backend| backend.kind().to_string())
}

/// Returns the keys of the configuration. The names below a table such as `env` are the user's own.
pub(crate) fn keys() -> Vec<String> {
    config::all_keys().filter(|key| !key.ends_with('*')).map(str::to_owned).collect()
}

impl ChosenOptions {
    /// Records an option by its name in `cli`.
    pub(crate) fn record(&mut self, option: &str, value: String) {
        match option {
            "backend" => self.backend = Some(value),
            "profile" => self.profile = Some(value),
            "config" => self.config = Some(value.into()),
            _ => {}
        }
    }

    /// Returns the user's profiles.
    pub(crate) fn profiles(&self) -> Vec<String> {
        let Ok(environment) = Environment::read() else {
            return Vec::new();
        };
        // Without the chosen profile, which may be half typed.
        completable(self.settings(Overrides::default(), &environment).profiles.into_keys().collect())
    }

    /// Returns the models of the chosen backend, or of all backends if none is chosen.
    pub(crate) fn models(&self) -> Vec<String> {
        let Ok(environment) = Environment::read() else {
            return Vec::new();
        };
        let (backend, profile) = (self.backend.as_deref().and_then(|name| name.parse().ok()), self.profile.clone());
        let settings = self.settings(Overrides { backend, profile, ..Overrides::default() }, &environment);
        let mut names: Vec<String> = settings.model_names().map(|(_, name)| name.to_owned()).collect();
        let asked = ALL.into_iter().filter(|backend| settings.backend.is_none_or(|chosen| chosen == backend.kind()));
        names.extend(asked.flat_map(|backend| installed(backend, &settings, &environment)));
        names.sort();
        names.dedup();
        completable(names)
    }

    /// Returns the settings, or the defaults if the configuration is invalid; a session reports that.
    fn settings(&self, overrides: Overrides, environment: &Environment) -> Settings {
        let file = self.config.as_ref().map(|file| environment.absolute(file, Path::new("")));
        let project = Project::find(environment).ok().flatten();
        let file = file.as_ref().unwrap_or(&environment.places.config_file);
        config::load(file, false, project.as_ref(), &overrides, environment).unwrap_or_default()
    }
}

fn installed(backend: &dyn Backend, settings: &Settings, environment: &Environment) -> Vec<String> {
    let Ok(runtime) = wait::event_loop() else {
        return Vec::new();
    };
    let asked = async { timeout(LIST_TIMEOUT, backend.model_names(settings, environment)).await };
    runtime.block_on(asked).unwrap_or_default()
}

/// Removes names with control characters, since a tab or newline ends a field.
fn completable(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| !name.is_empty() && !name.contains(ui::is_unsafe));
    names
}
