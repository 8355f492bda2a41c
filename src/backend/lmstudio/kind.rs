//! LM Studio, through its own command `lms`: the server that runs is used, or one is started, and whatever was as it was
//! is so again afterwards.
//!
//! Written after the source of `lms` and LM Studio's documents (0.4); never run with the real one.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};

use super::download::is_exact;
use super::lms::Model;
use crate::backend::{
    find::nearest_model,
    http,
    plan::{Absent, BackendPlan, Endpoint, HOST, Health, NO_TOKEN, Service, Starting, Unfit},
    served::Served,
};
use crate::config::Kind;
use crate::{
    base::error::{Code, Failure, Result},
    config::Settings,
};

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

/// # Errors
/// `Unavailable` when there is no LM Studio.
pub fn plan(settings: &Settings, models: &[String], home: &Path, here: &Path) -> Result<BackendPlan> {
    let studio_home = studio_home(home);
    let lms = program_in(settings, &studio_home, home, here)?;
    let studio = Studio {
        lms,
        home: studio_home,
        gpu: settings.lmstudio.gpu.clone().unwrap_or_else(|| "max".into()),
        parallel: settings.lmstudio.parallel,
        memory_check: settings.memory_check.unwrap_or(true),
    };
    Ok(BackendPlan {
        kind: Kind::LmStudio,
        service: Service::Studio(studio),
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

/// Whether there is an `lms` to run.
pub fn is_installed(settings: &Settings, home: &Path, here: &Path) -> bool {
    program(settings, home, here).is_ok()
}

/// Whether the user has a model of this key, or any at all, without starting LM Studio to ask. Its files are at
/// `models/PUBLISHER/REPOSITORY`, and a repository is named after its model: `GLM-4.7-Flash-GGUF`.
pub fn has(key: Option<&str>, home: &Path) -> bool {
    let entries =
        |directory: PathBuf| fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let name = key.and_then(|key| key.rsplit('/').next()).unwrap_or_default().to_lowercase();
    let mut repositories = entries(studio_home(home).join("models")).flat_map(entries);
    repositories.any(|path| {
        path.file_name().is_some_and(|repository| repository.to_string_lossy().to_lowercase().starts_with(&name))
    })
}

/// # Errors
/// `Unavailable` when there is none.
pub fn program(settings: &Settings, home: &Path, here: &Path) -> Result<PathBuf> {
    program_in(settings, &studio_home(home), home, here)
}

fn program_in(settings: &Settings, studio: &Path, home: &Path, here: &Path) -> Result<PathBuf> {
    let named = settings.lmstudio.path.as_ref().map(|path| settings.path("lmstudio.path", path, home, here));
    let found = match &named {
        Some(path) => crate::backend::plan::program(Some(path), ""),
        None => crate::backend::plan::program(Some(&studio.join("bin/lms")), "")
            .or_else(|| crate::backend::plan::program(None, "lms")),
    };
    found.ok_or_else(|| {
        Absent {
            kind: Kind::LmStudio,
            program: "lms",
            name: "LM Studio",
            why: format!("{} is not there, and lms is not on PATH", studio.join("bin/lms").display()),
        }
        .failure(settings, named.as_deref())
    })
}

/// As `lms` itself finds it.
fn studio_home(home: &Path) -> PathBuf {
    let pointer = fs::read_to_string(home.join(".lmstudio-home-pointer")).ok();
    let pointed = pointer.map(|path| PathBuf::from(path.trim())).filter(|path| path.is_absolute());
    let old = home.join(".cache/lm-studio");
    pointed.unwrap_or_else(|| if old.is_dir() { old } else { home.join(".lmstudio") })
}

/// The token that LM Studio's API wants, where the user has set one up.
pub fn token() -> String {
    env::var("LM_API_TOKEN").ok().filter(|token| !token.is_empty()).unwrap_or_else(|| NO_TOKEN.into())
}

pub async fn bring_up(plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, Unfit> {
    let Service::Studio(studio) = &plan.service else {
        return Err(Unfit::Stranger);
    };
    let daemon = studio.start_daemon(starting).await?;
    studio.check_version().await?;
    let mut served = Served::new();
    for name in &plan.models {
        let model = studio.find(key(name), plan.context, starting).await?;
        let context = model.max_context_length.map_or(plan.context, |most| most.min(plan.context));
        if !studio.is_loaded(name).await? {
            served.notes.extend(studio.check_memory(&model, context).await?);
        }
        let granted = studio.load(&model, name, context, daemon, starting).await?;
        served.grant(name, granted, model.max_context_length);
    }
    let port = studio.start_server(daemon, starting).await?;
    let url = format!("http://{HOST}:{port}");
    let greeting = format!("{url}/lmstudio-greeting");
    http::until_up(starting, async || {
        let greeted = http::json::<serde_json::Value>(starting.client.get(&greeting)).await;
        if greeted.is_some_and(|greeting| greeting["lmstudio"] == true) { Health::Up } else { Health::Silent }
    })
    .await?;
    let endpoint = Endpoint { url: url.clone(), ..starting.endpoint.clone() };
    if let Ok(answer) = http::messages_route(starting.client, &endpoint).await
        && matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    {
        return Err(Failure::new(Code::Unavailable, "LM Studio does not take the token")
            .why("its server is set up to want one, and LM_API_TOKEN is not set or another")
            .help("export LM_API_TOKEN=… with a token from LM Studio's server settings")
            .into());
    }
    served.at = Some(url);
    Ok(served)
}

#[derive(Deserialize)]
struct Known {
    models: Vec<KnownModel>,
}

#[derive(Deserialize)]
struct KnownModel {
    #[serde(default)]
    loaded_instances: Vec<Instance>,
}

#[derive(Deserialize)]
struct Instance {
    id: String,
}

/// Whether its server answers and our instances are still loaded: a user may unload them, or LM Studio to make room.
pub async fn is_there(plan: &BackendPlan, client: &Client, endpoint: &Endpoint) -> bool {
    let known = client.get(format!("{}/api/v1/models", endpoint.url)).bearer_auth(&endpoint.token);
    let Some(known) = http::json::<Known>(known).await else {
        return false;
    };
    let loaded: Vec<&str> =
        known.models.iter().flat_map(|model| &model.loaded_instances).map(|instance| instance.id.as_str()).collect();
    plan.models.iter().all(|name| loaded.contains(&name.as_str()))
}

/// The model of this key, if it is on this machine and can call tools.
pub fn pick(key: &str, known: Vec<Model>) -> Result<Model> {
    let (mut installed, elsewhere): (Vec<Model>, Vec<Model>) = known.into_iter().partition(Model::is_here);
    let Some(at) = installed.iter().position(|model| model.model_key == key) else {
        return Err(if elsewhere.iter().any(|model| model.model_key == key) {
            with_download(key, is_elsewhere(key))
        } else {
            with_download(key, not_installed(key, &installed))
        });
    };
    if !installed[at].trained_for_tool_use {
        let able = installed.iter().filter(|model| model.trained_for_tool_use);
        let able: Vec<&str> = able.map(|model| model.model_key.as_str()).collect();
        let failure = Failure::new(Code::Unavailable, format!("{key} cannot call tools"))
            .why("LM Studio says that it was not trained for that, and Claude Code reads and writes files with them");
        return Err(match able.first() {
            Some(first) => failure.help(format!("--model {first}; installed and able are {}", able.join(", "))),
            None => failure.help(format!("lms get {DEFAULT_MODEL}")),
        });
    }
    Ok(installed.swap_remove(at))
}

fn not_installed(key: &str, installed: &[Model]) -> Failure {
    let names: Vec<&str> = installed.iter().map(|model| model.model_key.as_str()).collect();
    let why = match names[..] {
        [] => "no model is installed yet".to_owned(),
        _ => format!("installed are {}; a key must match to the letter", names.join(", ")),
    };
    let failure = Failure::new(Code::Unavailable, format!("LM Studio has no model {key}")).why(why);
    match nearest_model(key, names.iter().copied()) {
        Some(near) => failure.help(format!("did you mean --model {near}?")),
        None => failure,
    }
}

fn is_elsewhere(key: &str) -> Failure {
    Failure::new(Code::Unavailable, format!("LM Studio has {key} on another machine only"))
        .why("it is there by LM Link, and your code would go there")
}

/// The failure, with how to download the model.
fn with_download(key: &str, failure: Failure) -> Failure {
    if !is_exact(key) {
        return failure.help(format!("lms get {key} asks which model that is; its exact name is OWNER/NAME"));
    }
    Failure { missing: Some(key.into()), ..failure }
        .help(format!("lms get {key}"))
        .help("or lclaude --yes, which does that")
}
