//! The names that can be completed: backends, the user's profiles, and the models that are installed.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::timeout;

use crate::{
    backend::{Backend, registry::ALL},
    base::environment::Environment,
    config::{self, Overrides, Project, Settings},
    launch,
};

/// How long a backend may take to say what it has, before Tab does without.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the options before the cursor say that decides which names there are.
#[derive(Default)]
pub struct Chosen {
    backend: Option<String>,
    profile: Option<String>,
    config: Option<PathBuf>,
}

pub fn backends() -> impl Iterator<Item = String> {
    ALL.into_iter().map(|backend| backend.kind().to_string())
}

impl Chosen {
    /// Takes note of an option, by its name in `cli`.
    pub fn take(&mut self, option: &str, value: String) {
        match option {
            "backend" => self.backend = Some(value),
            "profile" => self.profile = Some(value),
            "config" => self.config = Some(value.into()),
            _ => {}
        }
    }

    pub fn profiles(&self) -> Vec<String> {
        let Ok(environment) = Environment::read() else {
            return Vec::new();
        };
        // Without the profile that is chosen so far: it may be half typed.
        typeable(self.settings(Overrides::default(), &environment).profiles.into_keys().collect())
    }

    /// The models that the chosen backend has, or with none chosen every backend.
    pub fn models(&self) -> Vec<String> {
        let Ok(environment) = Environment::read() else {
            return Vec::new();
        };
        let (backend, profile) = (self.backend.clone(), self.profile.clone());
        let settings = self.settings(Overrides { backend, profile, ..Overrides::default() }, &environment);
        let mut names: Vec<String> = settings.model_names().map(|(_, name)| name.to_owned()).collect();
        let asked = ALL.into_iter().filter(|backend| settings.backend.is_none_or(|chosen| chosen == backend.kind()));
        names.extend(asked.flat_map(|backend| installed(backend, &settings, &environment)));
        names.sort();
        names.dedup();
        typeable(names)
    }

    /// A configuration that cannot be read is said when it is used; here there is then nothing to go by.
    fn settings(&self, overrides: Overrides, environment: &Environment) -> Settings {
        let file = self.config.as_ref().map(|file| environment.absolute(file, Path::new("")));
        let project = Project::find(environment).ok().flatten();
        let file = file.as_ref().unwrap_or(&environment.places.config_file);
        config::load(file, false, project.as_ref(), &overrides, environment).unwrap_or_default()
    }
}

fn installed(backend: &dyn Backend, settings: &Settings, environment: &Environment) -> Vec<String> {
    let Ok(runtime) = launch::event_loop() else {
        return Vec::new();
    };
    let asked = async { timeout(PATIENCE, backend.model_names(settings, environment)).await };
    runtime.block_on(asked).unwrap_or_default()
}

/// A tab or a line's end would be read as the end of the name.
fn typeable(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| !name.is_empty() && !name.contains(char::is_control));
    names
}
