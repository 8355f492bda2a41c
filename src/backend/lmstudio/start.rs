//! Waits until LM Studio serves the models: starts its daemon, loads lclaude's instances and starts its server.

use reqwest::{Client, StatusCode};
use serde::Deserialize;

use super::plan::{Studio, key};
use crate::{
    backend::{
        http,
        plan::{BackendPlan, Endpoint, HOST},
        served::Served,
        starting::{Health, Presence, StartError, Starting},
    },
    base::error::{Code, Failure},
};

/// Waits until the server is up and every model is loaded, and returns what it serves.
pub(crate) async fn bring_up(plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, StartError> {
    let Some(studio) = Studio::of(plan) else {
        return Err(StartError::NotOurs);
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
    http::wait_until_up(starting, async || {
        let greeted = http::get_json::<serde_json::Value>(starting.client.get(&greeting)).await;
        if greeted.is_some_and(|greeting| greeting["lmstudio"] == true) { Health::Up } else { Health::Unreachable }
    })
    .await?;
    let endpoint = Endpoint { url: url.clone(), ..starting.endpoint.clone() };
    if let Ok(answer) = http::probe_messages(starting.client, &endpoint).await
        && matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    {
        return Err(Failure::new(Code::Unavailable, "LM Studio rejected the token")
            .cause("its server requires a token, and LM_API_TOKEN is unset or wrong")
            .help("export LM_API_TOKEN=…  # a token from LM Studio's server settings")
            .into());
    }
    served.at = Some(url);
    Ok(served)
}

#[derive(Deserialize)]
struct ListedModels {
    models: Vec<ListedModel>,
}

#[derive(Deserialize)]
struct ListedModel {
    #[serde(default)]
    loaded_instances: Vec<LoadedInstance>,
}

#[derive(Deserialize)]
struct LoadedInstance {
    id: String,
}

/// Returns whether its server answers and has lclaude's instances loaded. The user can unload them, or LM Studio to
/// free memory.
pub(crate) async fn presence(plan: &BackendPlan, client: &Client, endpoint: &Endpoint) -> Presence {
    let request = endpoint.authorize(client.get(format!("{}/api/v1/models", endpoint.url)));
    http::presence(request, |known: ListedModels| {
        let loaded = known.models.iter().flat_map(|model| &model.loaded_instances);
        plan.models.iter().all(|name| loaded.clone().any(|instance| instance.id == *name))
    })
    .await
}
