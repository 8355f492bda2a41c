//! Queries a running Ollama server without starting, loading or changing anything.

use super::{server::Server, start::larger_context, variables};
use crate::{
    backend::http,
    base::{error::Result, variables::Variables},
    config::Settings,
};

/// What a running server reports about a model.
pub(crate) struct ModelReport {
    /// Whether it supports tools, or the failure if not.
    pub tools: Result<()>,
    /// Tokens it was trained for.
    pub trained: Option<u32>,
    /// The help for a context that its Modelfile limits.
    pub larger: Option<String>,
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

/// Returns what the server at `url` reports about a model. Loads nothing.
pub(crate) async fn report(url: &str, model: &str, context: u32) -> Result<ModelReport> {
    let client = http::client_for(url);
    let server = Server { client: &client, url };
    let shown = server.show(model).await?;
    let tools = if shown.can("tools") { Ok(()) } else { Err(server.cannot_call_tools(model).await) };
    Ok(ModelReport { tools, trained: shown.context(), larger: larger_context(model, &shown, context) })
}
