//! The names that can be completed: backends, the user's profiles, and the models that are installed.

use std::{path::PathBuf, time::Duration};

use crate::{
    backend::{listing::ALL, lmstudio, ollama},
    base::paths::Places,
    config::{self, Kind, Overrides, Project, Settings},
    launch,
    session::plan,
};

/// How long LM Studio may take to say what it has, before Tab does without.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the options before the cursor say that decides which names there are.
#[derive(Default)]
pub struct Chosen {
    backend: Option<String>,
    profile: Option<String>,
    config: Option<PathBuf>,
}

pub fn backends() -> impl Iterator<Item = String> {
    ALL.into_iter().map(|kind| kind.to_string())
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
        let Ok(places) = Places::find() else {
            return Vec::new();
        };
        // Without the profile that is chosen so far: it may be half typed.
        typeable(self.settings(Overrides::default(), &places).profiles.into_keys().collect())
    }

    /// The models that the chosen backend has, or with none chosen every backend.
    pub fn models(&self) -> Vec<String> {
        let (Ok(places), Ok(here)) = (Places::find(), plan::here()) else {
            return Vec::new();
        };
        let (backend, profile) = (self.backend.clone(), self.profile.clone());
        let settings = self.settings(Overrides { backend, profile, ..Overrides::default() }, &places);
        let is_asked = |kind| settings.backend.is_none_or(|chosen| chosen == kind);
        let mut names: Vec<String> = settings.model.iter().cloned().collect();
        names.extend(settings.models.named().map(|(_, name)| name.to_owned()));
        if is_asked(Kind::Ollama) {
            names.extend(ollama::installed(&settings, &places.home, &here));
        }
        if is_asked(Kind::LmStudio) && lmstudio::is_installed(&settings, &places.home, &here) {
            names.extend(of_lm_studio(&settings, &places, &here).unwrap_or_default());
        }
        names.sort();
        names.dedup();
        typeable(names)
    }

    /// A configuration that cannot be read is said when it is used; here there is then nothing to go by.
    fn settings(&self, overrides: Overrides, places: &Places) -> Settings {
        let file = self.config.as_ref().map(|file| match file.strip_prefix("~") {
            Ok(rest) => places.home.join(rest),
            Err(_) => file.clone(),
        });
        let project = plan::here().and_then(|here| Project::find(&here, places)).ok().flatten();
        let file = file.as_ref().unwrap_or(&places.config_file);
        config::load(file, false, project.as_ref(), &overrides).unwrap_or_default()
    }
}

fn of_lm_studio(settings: &Settings, places: &Places, here: &std::path::Path) -> Option<Vec<String>> {
    let runtime = launch::event_loop().ok()?;
    let asked = async { tokio::time::timeout(PATIENCE, lmstudio::listing::names(settings, &places.home, here)).await };
    runtime.block_on(asked).ok().flatten()
}

/// A tab or a line's end would be read as the end of the name.
fn typeable(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| !name.is_empty() && !name.contains(char::is_control));
    names
}
