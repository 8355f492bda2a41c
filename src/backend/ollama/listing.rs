//! Ollama's models: those of the store, without a server; or what the shared server says.

use super::server::{Server, Shown};
use crate::backend::http;
use std::path::Path;

use reqwest::Client;

use super::{blobs::Blobs, memory, plan::shared_url, store};
use crate::{
    backend::listed::Listed,
    base::{environment::Environment, error::Result},
    config::{Instance, Settings},
};

pub async fn list(settings: &Settings, environment: &Environment) -> Result<Vec<Listed>> {
    match settings.ollama.instance {
        Instance::Private => Ok(of_stores(settings, environment)),
        Instance::Shared => {
            let url = shared_url(settings.ollama.host.as_deref(), &environment.variables);
            of_server(&http::client_for(&url), &url).await
        }
    }
}

fn of_stores(settings: &Settings, environment: &Environment) -> Vec<Listed> {
    let mut found: Vec<Listed> = Vec::new();
    for place in store::places(settings, environment) {
        for name in store::stored(&place) {
            // The user's own store comes first, as it does for a session.
            if !found.iter().any(|listed| store::is_same(&listed.name, &name)) {
                found.push(of_store(settings, &place, &name));
            }
        }
    }
    found
}

fn of_store(settings: &Settings, place: &Path, name: &str) -> Listed {
    let listed = Listed::named(name);
    let Some(blobs) = Blobs::of(place, name) else {
        return listed;
    };
    if blobs.is_remote() || store::is_cloud(name) {
        return listed;
    }
    let layout = memory::layout(settings);
    let listed = match &blobs.weights {
        Some(file) => listed.with_file(file, layout.clone()),
        None => listed,
    };
    let (tools, thinking) = blobs.abilities().unzip();
    Listed {
        size: Some(blobs.size).filter(|size| *size > 0).or(listed.size),
        tools: tools.or(listed.tools),
        thinking: thinking.or(listed.thinking),
        model: listed.model.as_ref().map(|_| memory::model(name, &blobs, layout)),
        ..listed
    }
}

async fn of_server(client: &Client, url: &str) -> Result<Vec<Listed>> {
    let server = Server { client, url };
    server.is_there().await?;
    let mut found = Vec::new();
    for model in server.tags().await.unwrap_or_default() {
        let shown = server.show(&model.name).await.ok();
        let can = |ability: &str| shown.as_ref().map(|shown| shown.can(ability));
        found.push(Listed {
            size: Some(model.size).filter(|size| *size > 0),
            quantisation: Some(model.details.quantization_level).filter(|level| !level.is_empty()),
            trained: shown.as_ref().and_then(Shown::context),
            tools: can("tools"),
            thinking: can("thinking"),
            ..Listed::named(&model.name)
        });
    }
    Ok(found)
}
