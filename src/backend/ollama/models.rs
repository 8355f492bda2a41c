//! Which models Ollama has and which are missing.

use std::time::Duration;

use reqwest::Client;
use tokio::time::timeout;

use super::{
    plan::download_command,
    server::Server,
    service::{self, Access},
    store, unknown, variables,
};
use crate::{
    backend::{address::is_remote, http, plan::BackendPlan},
    base::{
        environment::Environment,
        error::{Code, Failure},
    },
    config::Settings,
};

/// The timeout for the user's own server to list its models, since it usually isn't running.
const ASK_TIMEOUT: Duration = Duration::from_millis(500);

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
    Some(failure)
}

/// Returns the failure for a model that is on this machine, but where a private server can't use it, or `None`. Asks
/// the user's own server.
pub(crate) async fn out_of_reach(
    settings: &Settings,
    plan: &BackendPlan,
    model: &str,
    environment: &Environment,
) -> Option<Failure> {
    let place = store::of(plan, environment.home())?;
    let url = variables::url(settings.ollama.host.as_deref(), &environment.variables);
    let installed = match is_remote(&url) {
        true => None,
        false => {
            timeout(ASK_TIMEOUT, Server { client: &http::client_for(&url), url: &url }.tags()).await.ok().flatten()
        }
    };
    let has_it = installed.as_ref().is_some_and(|all| all.iter().any(|known| store::is_same(&known.name, model)));
    let barrier = match service::access(&place) {
        Access::Unreadable(barrier) => Some(barrier),
        // A running server is most likely the service itself, so its store lacks the model too.
        _ if installed.is_some() && !has_it => None,
        _ => service::unreadable().filter(|_| !store::is_named(plan)),
    };
    let why = match (&barrier, has_it) {
        (None, false) => return None,
        (Some(barrier), true) => {
            format!("the Ollama at {url} has it, but your user can't read {}", barrier.path.display())
        }
        (Some(barrier), false) => {
            format!("an Ollama of another user may have it, but your user can't read {}", barrier.path.display())
        }
        (None, true) => format!("the Ollama at {url} has it, in a store that a private server does not use"),
    };
    let failure = Failure::new(Code::Unavailable, format!("a private Ollama server can't use {model}")).cause(why);
    let again = format!("lclaude --backend ollama --model {model}");
    let failure = match has_it {
        true => failure.help(format!("lclaude local config set ollama.instance shared  # uses the Ollama at {url}")),
        false => failure,
    };
    // What can't be read can't be written either.
    let can_download = !barrier.as_ref().is_some_and(|barrier| place.starts_with(&barrier.path));
    let helps = barrier.map(|barrier| barrier.helps(&again, &environment.variables)).unwrap_or_default();
    let failure = failure.helps(helps);
    Some(match can_download {
        true => failure.help(format!("{}  # downloads it for the private server", download_command(model))),
        false => failure,
    })
}

/// Returns those `models` that are loaded: their bytes, how many of them are in GPU memory, and their names.
pub(crate) async fn in_memory(client: &Client, url: &str, models: &[String]) -> Option<(u64, u64, Vec<String>)> {
    let loaded = Server { client, url }.loaded().await;
    let (mut size, mut on_card, mut names) = (0_u64, 0_u64, Vec::new());
    for one in loaded {
        // Ollama spells names in its own way.
        if let Some(name) = models.iter().find(|model| store::is_same(model, &one.name)) {
            size = size.saturating_add(one.size);
            on_card = on_card.saturating_add(one.size_vram);
            names.push(name.clone());
        }
    }
    (!names.is_empty()).then_some((size, on_card, names))
}
