//! A look at the user's own Ollama server: nothing is started, loaded or changed.

use super::{plan::shared_url, server::Server, start::fixed};
use crate::backend::http;
use crate::{
    base::{error::Result, variables::Variables},
    config::Settings,
};

/// What is known of a model at a server that runs.
pub struct Known {
    pub tools: Result<()>,
    /// Tokens it was trained for.
    pub trained: Option<u32>,
    /// What gives it more context than its Modelfile does.
    pub larger: Option<String>,
}

/// The user's own server: where it would be, and whether it is there and will do.
pub async fn own_server(settings: &Settings, variables: &Variables) -> (String, Result<()>) {
    let url = shared_url(settings.ollama.host.as_deref(), variables);
    let client = http::client_for(&url);
    let server = Server { client: &client, url: &url };
    let there = match server.is_there().await {
        Ok(()) => server.check_version().await,
        Err(failure) => Err(failure),
    };
    (url.clone(), there)
}

/// Asks a server that runs what it knows of a model; nothing is loaded.
pub async fn known(url: &str, model: &str, context: u32) -> Result<Known> {
    let client = http::client_for(url);
    let server = Server { client: &client, url };
    let shown = server.show(model).await?;
    let tools = if shown.can("tools") { Ok(()) } else { Err(server.cannot_call_tools(model).await) };
    Ok(Known { tools, trained: shown.context(), larger: fixed(model, &shown, context) })
}
