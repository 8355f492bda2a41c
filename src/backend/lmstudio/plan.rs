//! LM Studio, through its own command `lms`: the server that runs is used, or one is started, and whatever was as it was
//! is so again afterwards.
//!
//! Written after the source of `lms` and LM Studio's documents (0.4); never run with the real one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    backend::{
        install::{self, IS_MACOS},
        plan::{BackendPlan, NO_TOKEN, Service},
        program::{self, Absent},
    },
    base::{environment::Environment, error::Result, variables::Variables},
    config::{Kind, Settings},
};

const SCRIPT: &str = "curl -fsSL https://lmstudio.ai/install.sh | bash";
/// The first release with `/v1/messages`.
pub const LEAST_VERSION: [u32; 3] = [0, 4, 1];
/// The default model under the name that LM Studio's catalogue has for it.
pub const DEFAULT_MODEL: &str = "zai-org/glm-4.7-flash";
/// What our own instance of a model is called by: this and the model's key.
const PREFIX: &str = "lclaude/";

/// LM Studio's program, where its state is, and how models are loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Studio {
    pub lms: PathBuf,
    pub home: PathBuf,
    /// The part of the model to put on the GPU: `max`, `off`, or a number from 0 to 1.
    pub gpu: String,
    pub parallel: Option<u32>,
    /// Whether a model that cannot fit into memory is refused.
    pub memory_check: bool,
}

impl Studio {
    /// Returns what a plan says of LM Studio, or `None` for a plan of another kind.
    pub fn of(plan: &BackendPlan) -> Option<Self> {
        match &plan.service {
            Service::Managed { options, .. } => serde_json::from_value(options.clone()).ok(),
            _ => None,
        }
    }

    fn service(&self) -> Service {
        Service::Managed { program: self.lms.clone(), options: serde_json::to_value(self).unwrap_or_default() }
    }
}

/// # Errors
/// `Unavailable` when there is no LM Studio.
pub fn plan(settings: &Settings, models: &[String], environment: &Environment) -> Result<BackendPlan> {
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

/// What our own instance of the model `key` is called.
pub fn identifier(key: &str) -> String {
    format!("{PREFIX}{key}")
}

/// The model's own key, of an instance of ours or of nobody's.
pub fn key(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// Whether the user has a model of this key, or any at all, without starting LM Studio to ask. Its files are at
/// `models/PUBLISHER/REPOSITORY`, and a repository is named after its model: `GLM-4.7-Flash-GGUF`.
pub fn has(key: Option<&str>, environment: &Environment) -> bool {
    let entries =
        |directory: PathBuf| fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let name = key.and_then(|key| key.rsplit('/').next()).unwrap_or_default().to_lowercase();
    let mut repositories = entries(studio_home(environment.home()).join("models")).flat_map(entries);
    repositories.any(|path| {
        path.file_name().is_some_and(|repository| repository.to_string_lossy().to_lowercase().starts_with(&name))
    })
}

/// # Errors
/// `Unavailable` when there is none.
pub fn program(settings: &Settings, environment: &Environment) -> Result<PathBuf> {
    program_in(settings, &studio_home(environment.home()))
}

fn program_in(settings: &Settings, studio: &Path) -> Result<PathBuf> {
    let named = settings.lmstudio.path.as_deref();
    let found = match named {
        Some(path) => program::find(Some(path), ""),
        None => program::find(Some(&studio.join("bin/lms")), "").or_else(|| program::find(None, "lms")),
    };
    found.ok_or_else(|| {
        let absent = Absent {
            kind: Kind::LmStudio,
            program: "lms",
            name: "LM Studio",
            install: install_hint(),
            why: format!("{} is not there, and lms is not on PATH", studio.join("bin/lms").display()),
        };
        absent.failure(settings, named)
    })
}

/// The command lines that install it on this machine.
pub fn install_commands() -> Vec<String> {
    let command =
        if IS_MACOS { install::brew("--cask lm-studio") } else { install::has("curl").then(|| SCRIPT.to_owned()) };
    command.into_iter().collect()
}

/// One of them, or where else it is to be had.
pub fn install_hint() -> String {
    let elsewhere = "LM Studio's app, from https://lmstudio.ai; start it once";
    install_commands().into_iter().next().unwrap_or_else(|| elsewhere.to_owned())
}

/// As `lms` itself finds it.
fn studio_home(home: &Path) -> PathBuf {
    let pointer = fs::read_to_string(home.join(".lmstudio-home-pointer")).ok();
    let pointed = pointer.map(|path| PathBuf::from(path.trim())).filter(|path| path.is_absolute());
    let old = home.join(".cache/lm-studio");
    pointed.unwrap_or_else(|| if old.is_dir() { old } else { home.join(".lmstudio") })
}

/// The token that LM Studio's API wants, where the user has set one up.
pub fn token(variables: &Variables) -> String {
    variables.text("LM_API_TOKEN").unwrap_or(NO_TOKEN).to_owned()
}
