//! Queries a running Ollama server without starting, loading or changing anything.

use super::{server::Server, start::fixed, store, variables};
use crate::{
    backend::{http, served::FixedContext, starting::Health},
    base::{error::Result, variables::Variables},
    config::Settings,
};

/// What a running server reports about a model.
pub(crate) struct ModelReport {
    /// Whether it supports tools, or the failure if not.
    pub tools: Result<()>,
    /// Tokens it was trained for.
    pub trained: Option<u32>,
    /// The context that its Modelfile sets.
    pub fixed: Option<FixedContext>,
    /// Tokens of context that it is loaded with, if it is loaded.
    pub loaded: Option<u32>,
}

/// Returns the URL of the user's own server, and whether a supported Ollama answers there.
pub(crate) async fn own_server(settings: &Settings, variables: &Variables) -> (String, Result<()>) {
    let url = variables::url(settings.ollama.host.as_deref(), variables);
    let client = http::client_for(&url);
    let server = Server { client: &client, url: &url };
    let there = match server.check_is_ollama().await {
        Ok(()) => server.check_version().await,
        Err(failure) => Err(failure),
    };
    (url.clone(), there)
}

/// Returns whether an Ollama answers at `url`.
pub(crate) async fn is_there(url: &str) -> bool {
    Server { client: &http::client_for(url), url }.look().await == Health::Up
}

/// Returns the names of the models that the server at `url` has.
pub(crate) async fn installed(url: &str) -> Vec<String> {
    Server { client: &http::client_for(url), url }.installed().await
}

/// Returns what the server at `url` reports about a model. Loads nothing.
pub(crate) async fn report(url: &str, model: &str, context: u32) -> Result<ModelReport> {
    let client = http::client_for(url);
    let server = Server { client: &client, url };
    let shown = server.show(model).await?;
    let tools = if shown.can("tools") { Ok(()) } else { Err(server.cannot_call_tools(model).await) };
    let loaded =
        server.loaded().await.iter().find(|one| store::is_same(&one.name, model)).map(|one| one.context_length);
    Ok(ModelReport { tools, trained: shown.context(), fixed: fixed(model, shown.fixed_context(), context), loaded })
}
