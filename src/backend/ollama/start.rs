//! Waiting for Ollama: its version, its models, and what each was really given.

use std::time::Duration;

use reqwest::Client;
use tokio::time::timeout;

use super::{
    plan::{in_the_cloud, shared_url},
    server::{Server, Shown},
    store,
};
use crate::{
    backend::{
        address::is_remote,
        http,
        plan::{BackendPlan, Service},
        served::Served,
        starting::{Starting, Unfit},
    },
    base::{
        error::{Code, Failure},
        variables::Variables,
    },
};

/// How long the user's own server has to say what it has in memory: it is only a word on the side.
const ASIDE: Duration = Duration::from_millis(500);

pub async fn bring_up(plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, Unfit> {
    let server = Server { client: starting.client, url: &starting.endpoint.url };
    let is_shared = matches!(plan.service, Service::Running(_));
    if is_shared {
        server.is_there().await?;
    } else {
        http::until_up(starting, async || server.look().await).await?;
    }
    server.check_version().await?;
    for model in plan.models.iter().filter(|model| !store::is_cloud(model)) {
        server.install(model, starting).await?;
    }
    let mut served = Served::new();
    if !is_shared {
        served.notes.extend(elsewhere(starting.client, starting.variables).await);
    }
    let mut has_shared_runner = false;
    // The main one last: should they not fit into memory together, it is the one that stays.
    for model in plan.models.iter().rev() {
        let shown = server.show(model).await?;
        if !shown.can("tools") {
            return Err(server.cannot_call_tools(model).await.into());
        }
        served.thinking = shown.can("thinking");
        if store::is_cloud(model) {
            served.grant(model, shown.context().unwrap_or(plan.context), shown.context());
            continue;
        }
        if !shown.remote_host.is_empty() {
            return Err(in_the_cloud(model, Some(&store::cloud_name(&shown.remote_model))).into());
        }
        server.load(model, is_shared, starting).await?;
        let loaded = server.loaded().await;
        let own = loaded.iter().find(|loaded| store::is_same(&loaded.name, model));
        if own.is_none() {
            // Two names for the same file share a runner, which is listed under one of them.
            has_shared_runner = true;
        }
        let Some(context) = own.or(loaded.iter().min_by_key(|one| one.context_length)).map(|one| one.context_length)
        else {
            return Err(not_kept(model).into());
        };
        // What was really allocated, which may be less than was asked for.
        let granted = if context > 0 { context } else { plan.context };
        served.grant(model, granted, shown.context());
        if granted < plan.context && served.of == *model {
            served.more_context = fixed(model, &shown, plan.context);
        }
    }
    let loaded = server.loaded().await;
    let stayed = |model: &String| store::is_cloud(model) || loaded.iter().any(|one| store::is_same(&one.name, model));
    // Where a runner has several names, which of them is listed says nothing.
    if !has_shared_runner && !plan.models.iter().all(stayed) {
        served.notes.push(format!(
            "warning: {} do not fit into memory together, so each change between them loads one anew\n  \
             help: one model for every tier, smaller ones, or a smaller --context",
            plan.models.join(" and ")
        ));
    }
    Ok(served)
}

/// What mends a context that the model's own Modelfile keeps small: a model like it.
pub fn fixed(model: &str, shown: &Shown, asked: u32) -> Option<String> {
    let context = shown.fixed_context().filter(|context| *context < asked)?;
    let larger = format!("{}-{}k", model.replace([':', '/'], "-").trim_end_matches("-latest"), asked / 1024);
    Some(format!(
        "its Modelfile has PARAMETER num_ctx {context}, which counts more than any setting; a model without it:\n    \
         printf 'FROM {model}\\nPARAMETER num_ctx {asked}\\n' | ollama create {larger} -f /dev/stdin, then --model {larger}"
    ))
}

fn not_kept(model: &str) -> Failure {
    Failure::new(Code::Unavailable, format!("Ollama did not keep {model} in memory"))
        .why("it was loaded, and is not among what ollama ps shows")
        .help("a smaller --context, or a smaller model")
}

/// A word of warning when the user's own server holds memory that a private one will need.
async fn elsewhere(client: &Client, variables: &Variables) -> Option<String> {
    let url = shared_url(None, variables);
    if is_remote(&url) {
        return None;
    }
    let loaded = timeout(ASIDE, Server { client, url: &url }.loaded()).await.ok()?;
    let names: Vec<&str> = loaded.iter().map(|model| model.name.as_str()).collect();
    let first = names.first()?;
    Some(format!(
        "your own Ollama server has {} in memory, which the private one may need; ollama stop {first} frees it",
        names.join(", ")
    ))
}
