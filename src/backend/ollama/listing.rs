//! Lists Ollama's models, from the stores or from the shared server.

use std::path::Path;

use reqwest::Client;

use super::{
    blobs::Blobs,
    memory,
    server::{Server, Shown},
    store, variables,
};
use crate::{
    backend::{http, listed::ListedModel},
    base::{environment::Environment, error::Result},
    config::{OllamaInstance, Settings},
    memory::Layout,
};

/// Returns the installed models.
///
/// # Errors
/// `Unavailable` if the shared server doesn't answer.
pub(crate) async fn list(settings: &Settings, environment: &Environment) -> Result<Vec<ListedModel>> {
    match settings.ollama.instance {
        OllamaInstance::Private => Ok(of_stores(settings, environment)),
        OllamaInstance::Shared => {
            let url = variables::url(settings.ollama.host.as_deref(), &environment.variables);
            of_server(&http::client_for(&url), &url).await
        }
    }
}

fn of_stores(settings: &Settings, environment: &Environment) -> Vec<ListedModel> {
    let mut found: Vec<ListedModel> = Vec::new();
    for place in store::places(settings, environment) {
        for name in store::stored(&place) {
            // The user's own store takes precedence, as in a session.
            if !found.iter().any(|listed| store::is_same(&listed.name, &name)) {
                found.push(of_store(&memory::layout(settings), &place, &name));
            }
        }
    }
    found
}

/// Returns a model of the store at `place`.
pub(crate) fn of_store(layout: &Layout, place: &Path, name: &str) -> ListedModel {
    let listed = ListedModel::named(name);
    let Some(blobs) = Blobs::of(place, name) else {
        return listed;
    };
    if blobs.is_remote() || store::is_cloud(name) {
        return listed;
    }
    let listed = match &blobs.weights {
        Some(file) => listed.with_file(file, layout.clone()),
        None => listed,
    };
    let (tools, thinking) = blobs.abilities().unzip();
    ListedModel {
        size: Some(blobs.size).filter(|size| *size > 0).or(listed.size),
        tools: tools.or(listed.tools),
        thinking: thinking.or(listed.thinking),
        model: listed.model.as_ref().map(|_| memory::model(name, &blobs, layout.clone())),
        ..listed
    }
}

async fn of_server(client: &Client, url: &str) -> Result<Vec<ListedModel>> {
    let server = Server { client, url };
    server.check_is_ollama().await?;
    let mut found = Vec::new();
    for model in server.tags().await.unwrap_or_default() {
        if store::is_cloud(&model.name) {
            found.push(ListedModel::named(&model.name));
            continue;
        }
        let shown = server.show(&model.name).await.ok();
        let can = |ability: &str| shown.as_ref().map(|shown| shown.can(ability));
        found.push(ListedModel {
            size: Some(model.size).filter(|size| *size > 0),
            quantization: Some(model.details.quantization_level).filter(|level| !level.is_empty()),
            trained: shown.as_ref().and_then(Shown::context),
            tools: can("tools"),
            thinking: can("thinking"),
            ..ListedModel::named(&model.name)
        });
    }
    Ok(found)
}
