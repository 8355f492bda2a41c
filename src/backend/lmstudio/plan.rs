//! Builds the plan of LM Studio, and finds `lms` and LM Studio's directory.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    backend::{
        install::{self, IS_MACOS},
        plan::{BackendPlan, NO_TOKEN, Service},
        program::{self, MissingProgram},
    },
    base::{environment::Environment, error::Result, variables::Variables},
    config::{Kind, Settings},
};

/// Its name in messages.
pub(crate) const TITLE: &str = "LM Studio";
const SCRIPT: &str = "curl -fsSL https://lmstudio.ai/install.sh | bash";
/// The first release with `/v1/messages`.
pub(crate) const LEAST_VERSION: [u32; 3] = [0, 4, 1];
/// The default model, by its key in LM Studio's catalog.
pub(crate) const DEFAULT_MODEL: &str = "zai-org/glm-4.7-flash";
/// The prefix of lclaude's instance names; the model's key follows.
const PREFIX: &str = "lclaude/";

/// The data that the plan keeps about LM Studio.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Studio {
    pub lms: PathBuf,
    /// LM Studio's directory.
    pub home: PathBuf,
    /// The part of the model to put on the GPU: `max`, `off`, or a number from 0 to 1.
    pub gpu: String,
    pub parallel: Option<u32>,
    /// Whether a model that can't fit in memory is refused.
    pub memory_check: bool,
}

impl Studio {
    /// Returns the data in a plan, or `None` for a plan of another kind.
    pub(crate) fn of(plan: &BackendPlan) -> Option<Self> {
        match &plan.service {
            Service::Managed { options, .. } => serde_json::from_value(options.clone()).ok(),
            _ => None,
        }
    }

    fn service(&self) -> Service {
        Service::Managed {
            title: TITLE.into(),
            program: self.lms.clone(),
            options: serde_json::to_value(self).unwrap_or_default(),
        }
    }
}

/// Returns the plan.
///
/// # Errors
/// `Unavailable` if `lms` isn't found.
pub(crate) fn plan(settings: &Settings, models: &[String], environment: &Environment) -> Result<BackendPlan> {
    let studio_home = studio_home(environment.home());
    let lms = program_in(settings, &studio_home)?;
    let studio = Studio {
        lms,
        home: studio_home,
        gpu: settings.lmstudio.gpu.clone().unwrap_or_else(|| "max".into()),
        parallel: settings.lmstudio.parallel,
        memory_check: settings.memory_check.unwrap_or(true),
    };
    Ok(BackendPlan {
        kind: Kind::LmStudio,
        service: studio.service(),
        models: models.iter().map(|key| identifier(key)).collect(),
        origin: "LM Studio's models".into(),
        context: settings.context(),
    })
}

/// Returns the name of lclaude's instance of the model `key`.
pub(crate) fn identifier(key: &str) -> String {
    format!("{PREFIX}{key}")
}

/// Returns the key of a model, given its key or its instance name.
pub(crate) fn key(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// Returns whether the model with this key, or any model for `None`, is installed. Starts nothing: the files are at
/// `models/PUBLISHER/REPOSITORY`, and a repository such as `GLM-4.7-Flash-GGUF` is named after its model.
pub(crate) fn has(key: Option<&str>, environment: &Environment) -> bool {
    let entries =
        |directory: PathBuf| fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let name = key.and_then(|key| key.rsplit('/').next()).unwrap_or_default().to_lowercase();
    let mut repositories = entries(studio_home(environment.home()).join("models")).flat_map(entries);
    repositories.any(|path| {
        path.file_name().is_some_and(|repository| repository.to_string_lossy().to_lowercase().starts_with(&name))
    })
}

/// Returns the path of `lms`.
///
/// # Errors
/// `Unavailable` if it isn't found.
pub(crate) fn program(settings: &Settings, environment: &Environment) -> Result<PathBuf> {
    program_in(settings, &studio_home(environment.home()))
}

fn program_in(settings: &Settings, studio: &Path) -> Result<PathBuf> {
    let named = settings.lmstudio.path.as_deref();
    let found = match named {
        Some(path) => program::find(Some(path), ""),
        None => program::find(Some(&studio.join("bin/lms")), "").or_else(|| program::find(None, "lms")),
    };
    found.ok_or_else(|| {
        let absent = MissingProgram {
            kind: Kind::LmStudio,
            program: "lms",
            name: "LM Studio",
            install: install_hint(),
            why: format!("{} does not exist, and lms is not on PATH", studio.join("bin/lms").display()),
        };
        absent.failure(settings, named)
    })
}

/// Returns the commands that can install it on this machine.
pub(crate) fn install_commands() -> Vec<String> {
    let command = if IS_MACOS {
        install::brew("--cask lm-studio")
    } else {
        install::is_on_path("curl").then(|| SCRIPT.to_owned())
    };
    command.into_iter().collect()
}

/// Returns an install command, or where to download it.
pub(crate) fn install_hint() -> String {
    let elsewhere = "install LM Studio from https://lmstudio.ai and start it once";
    install_commands().into_iter().next().unwrap_or_else(|| elsewhere.to_owned())
}

/// Returns LM Studio's directory, found as `lms` itself finds it.
fn studio_home(home: &Path) -> PathBuf {
    let pointer = fs::read_to_string(home.join(".lmstudio-home-pointer")).ok();
    let pointed = pointer.map(|path| PathBuf::from(path.trim())).filter(|path| path.is_absolute());
    let old = home.join(".cache/lm-studio");
    pointed.unwrap_or_else(|| if old.is_dir() { old } else { home.join(".lmstudio") })
}

/// Returns the token for LM Studio's API, which needs one only if the user configured it.
pub(crate) fn token(variables: &Variables) -> String {
    variables.text("LM_API_TOKEN").unwrap_or(NO_TOKEN).to_owned()
}
