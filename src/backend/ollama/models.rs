//! Which models Ollama has, and which are missing.

use reqwest::Client;

use super::{server::Server, store, unknown::unknown};
use crate::{
    backend::{http, plan::BackendPlan},
    base::{environment::Environment, error::Failure},
    config::Settings,
};

/// Returns the model of the plan that runs on Ollama's own servers, if there is one.
pub fn in_cloud(plan: &BackendPlan) -> Option<&str> {
    plan.models.iter().map(String::as_str).find(|model| store::is_cloud(model))
}

/// Those of the plan's models that are not there yet.
pub fn missing(plan: &BackendPlan, environment: &Environment) -> Vec<String> {
    let Some(place) = store::of(plan, environment.home()) else {
        return Vec::new();
    };
    let models = plan.models.iter().filter(|model| !store::is_cloud(model));
    models.filter(|model| store::find(&place, model).is_none()).cloned().collect()
}

/// Those that the server which runs at `url` does not have; none if it does not answer, which is for later to say.
pub async fn missing_at(url: &str, plan: &BackendPlan) -> Vec<String> {
    let client = http::client_for(url);
    let Some(installed) = (Server { client: &client, url }).tags().await else {
        return Vec::new();
    };
    let models = plan.models.iter().filter(|model| !store::is_cloud(model));
    models.filter(|model| !installed.iter().any(|known| store::is_same(&known.name, model))).cloned().collect()
}

/// All models that can be used, without asking a server; not those that run on Ollama's own.
pub fn installed(settings: &Settings, environment: &Environment) -> Vec<String> {
    let mut stored = store::all(settings, environment);
    stored.retain(|name| !store::is_cloud(name));
    stored
}

/// The failure for a model that is not there and may not be pulled, with the nearest that is. `None` when only the
/// server can tell.
pub fn not_installed(plan: &BackendPlan, model: &str, environment: &Environment) -> Option<Failure> {
    let place = store::of(plan, environment.home())?;
    let failure = unknown(model, &store::stored(&place));
    if store::is_named(plan) && !place.exists() {
        let why = format!("{} does not exist, where models_dir or OLLAMA_MODELS says they are", place.display());
        let mut failure = failure.why(why);
        failure.help.insert(0, "correct [ollama] models_dir, or OLLAMA_MODELS where that names it".into());
        return Some(failure);
    }
    Some(match store::elsewhere(plan) {
        Some(help) => failure.help(help),
        None => failure,
    })
}

/// The bytes that those of `models` have that are loaded, and how many of them are on a graphics card.
pub async fn in_memory(client: &Client, url: &str, models: &[String]) -> Option<(u64, u64)> {
    let loaded = Server { client, url }.loaded().await;
    let ours = loaded.iter().filter(|loaded| models.iter().any(|model| store::is_same(model, &loaded.name)));
    ours.map(|model| (model.size, model.size_vram)).reduce(|(a, b), (c, d)| (a + c, b + d))
}
