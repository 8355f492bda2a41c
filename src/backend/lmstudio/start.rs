//! Waiting for LM Studio: its daemon, our instances of the models, and its server.

use reqwest::{Client, StatusCode};
use serde::Deserialize;

use super::plan::{Studio, key};
use crate::{
    backend::{
        http,
        plan::{BackendPlan, Endpoint, HOST},
        served::Served,
        starting::{Health, Starting, Unfit},
    },
    base::error::{Code, Failure},
};

pub async fn bring_up(plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, Unfit> {
    let Some(studio) = Studio::of(plan) else {
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
