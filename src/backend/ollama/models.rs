//! Which models Ollama has and which are missing.

use reqwest::Client;

use super::{server::Server, store, unknown, variables};
use crate::{
    backend::{http, plan::BackendPlan},
    base::{environment::Environment, error::Failure},
    config::Settings,
};

/// Returns the first model of the plan that runs on Ollama's own servers.
pub(crate) fn in_cloud(plan: &BackendPlan) -> Option<&str> {
    plan.models.iter().map(String::as_str).find(|model| store::is_cloud(model))
}

/// Returns the plan's models that a private server doesn't have yet.
pub(crate) fn missing(plan: &BackendPlan, environment: &Environment) -> Vec<String> {
    let Some(place) = store::of(plan, environment.home()) else {
        return Vec::new();
    };
    let models = plan.models.iter().filter(|model| !store::is_cloud(model));
    models.filter(|model| store::find(&place, model).is_none()).cloned().collect()
}

/// Returns the plan's models that the server at `url` doesn't have. Returns none if it doesn't answer, since the start
/// reports that.
pub(crate) async fn missing_at(url: &str, plan: &BackendPlan) -> Vec<String> {
    let client = http::client_for(url);
    let Some(installed) = (Server { client: &client, url }).tags().await else {
        return Vec::new();
    };
    let models = plan.models.iter().filter(|model| !store::is_cloud(model));
    models.filter(|model| !installed.iter().any(|known| store::is_same(&known.name, model))).cloned().collect()
}

/// Returns the installed models that run on this machine. Asks no server.
pub(crate) fn installed(settings: &Settings, environment: &Environment) -> Vec<String> {
    let mut stored = store::all(settings, environment);
    stored.retain(|name| !store::is_cloud(name));
    stored
}

/// Returns the failure for a missing model, with the nearest installed one, or `None` if only the server can tell.
pub(crate) fn not_installed(plan: &BackendPlan, model: &str, environment: &Environment) -> Option<Failure> {
    let place = store::of(plan, environment.home())?;
    let failure = unknown::not_installed(model, &store::stored(&place));
    if store::is_named(plan) && !place.exists() {
        let why = format!("{}, set by [ollama] models_dir or OLLAMA_MODELS, does not exist", place.display());
        let mut failure = failure.cause(why);
        let literal = environment.variables.text(variables::MODELS).and_then(|value| value.strip_prefix("~/"));
        failure.help.insert(
            0,
            match literal {
                Some(rest) => format!("export {}=\"$HOME/{rest}\"  # Ollama does not expand ~", variables::MODELS),
                None => "correct [ollama] models_dir or OLLAMA_MODELS".into(),
            },
        );
        return Some(failure);
    }
    Some(match store::unreadable_store_help(plan) {
        Some(help) => failure.help(help),
        None => failure,
    })
}

/// Returns the bytes of those `models` that are loaded, and how many of them are in GPU memory.
pub(crate) async fn in_memory(client: &Client, url: &str, models: &[String]) -> Option<(u64, u64)> {
    let loaded = Server { client, url }.loaded().await;
    let ours = loaded.iter().filter(|loaded| models.iter().any(|model| store::is_same(model, &loaded.name)));
    ours.map(|model| (model.size, model.size_vram)).reduce(|(a, b), (c, d)| (a + c, b + d))
}
