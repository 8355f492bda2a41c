//! Waits until `llama-server` is healthy and has loaded its models, and reads its progress from the log.

use std::cell::Cell;

use reqwest::StatusCode;
use serde::Deserialize;

use crate::{
    backend::{
        http,
        listed::thinks,
        model_list::{self, ModelEntry},
        percentage::percentage,
        plan::BackendPlan,
        served::Served,
        starting::{Health, Progress, StartError, Starting},
    },
    base::error::{Code, Failure},
};

#[derive(Deserialize)]
struct Props {
    default_generation_settings: GenerationSettings,
    model_alias: String,
    #[serde(default)]
    chat_template: String,
    #[serde(default)]
    chat_template_caps: TemplateCaps,
}

#[derive(Deserialize)]
struct GenerationSettings {
    n_ctx: u32,
}

/// Absent in older releases; tool support is then assumed.
#[derive(Deserialize)]
#[serde(default)]
struct TemplateCaps {
    supports_tools: bool,
}

impl Default for TemplateCaps {
    fn default() -> Self {
        TemplateCaps { supports_tools: true }
    }
}

/// Waits until the server is healthy and has loaded the models, and returns what it serves.
pub(crate) async fn bring_up(plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, StartError> {
    let Starting { client, endpoint, .. } = starting;
    let health = format!("{}/health", endpoint.url);
    http::wait_until_up(starting, async || {
        match client.get(&health).timeout(http::ANSWER_TIMEOUT).send().await.map(|answer| answer.status()) {
            Ok(StatusCode::OK) => Health::Up,
            Ok(StatusCode::SERVICE_UNAVAILABLE) => Health::Loading,
            Ok(_) => Health::NotOurs,
            Err(_) => Health::Unreachable,
        }
    })
    .await?;
    let routes = plan.models.len() > 1;
    if routes {
        wait_until_loaded(plan, starting).await?;
    }
    let offered = model_list::get(client, endpoint).await.unwrap_or_default();
    let mut served = Served::new();
    for (at, model) in plan.models.iter().enumerate() {
        // `/props` requires the key, unlike `/health`, so only this proves that the server is ours.
        let which = if routes { format!("?model={model}") } else { String::new() };
        let props = endpoint.authorize(client.get(format!("{}/props{which}", endpoint.url)));
        let props: Props = http::get_json(props).await.ok_or(StartError::NotOurs)?;
        if props.model_alias != *model {
            return Err(StartError::NotOurs);
        }
        let trained = offered.iter().find(|known| known.id == *model).and_then(|known| known.trained);
        served.grant(model, props.default_generation_settings.n_ctx, trained);
        served.tools &= props.chat_template_caps.supports_tools;
        if at == 0 {
            served.thinking = thinks(&props.chat_template);
        }
    }
    if !http::has_messages_route(client, endpoint).await {
        return Err(http::too_old(&plan.name(), "late 2025").help("brew upgrade llama.cpp").into());
    }
    Ok(served)
}

/// Waits until the router has loaded every model. The router itself is healthy immediately.
async fn wait_until_loaded(plan: &BackendPlan, starting: &Starting<'_>) -> Result<(), StartError> {
    let Starting { client, endpoint, .. } = starting;
    let failed = Cell::new(None);
    http::wait_until_up(starting, async || {
        let models = model_list::get(client, endpoint).await.unwrap_or_default();
        let up = |name: &String| {
            models
                .iter()
                .any(|model| model.id == *name && model.status.as_ref().is_some_and(|status| status.value == "loaded"))
        };
        let has_ended = |model: &&ModelEntry| {
            model.status.as_ref().and_then(|status| status.exit_code).is_some_and(|code| code != 0)
        };
        if let Some(ended) = models.iter().find(has_ended) {
            // Ends the wait.
            failed.set(Some(ended.id.clone()));
            return Health::Up;
        }
        if plan.models.iter().all(up) { Health::Up } else { Health::Loading }
    })
    .await?;
    match failed.take() {
        None => Ok(()),
        Some(name) => Err(Failure::new(Code::Unavailable, format!("llama-server could not load {name}"))
            .cause("the server of that model exited")
            .help(format!("lclaude --model {name}  # shows the error"))
            .help("lclaude local models  # choose smaller models; all must fit in memory together")
            .into()),
    }
}

/// Returns the step of a start that a log line reports.
pub(crate) fn progress(line: &str) -> Option<Progress> {
    let stage = |stage: &str, fraction, detail: &str| Progress { stage: stage.into(), fraction, detail: detail.into() };
    if let Some(percent) = percentage(line).filter(|_| line.contains("Downloading")) {
        return Some(stage("downloading the model", Some(percent), ""));
    }
    if line.contains("load_model: loading model") {
        return Some(stage("loading the model", None, ""));
    }
    if line.contains("warming up") {
        return Some(stage("warming up", None, ""));
    }
    None
}
