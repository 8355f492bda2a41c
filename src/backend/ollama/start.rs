//! Waits until Ollama has loaded the models, and checks the context that each got.

use std::time::Duration;

use reqwest::Client;
use tokio::time::timeout;

use super::{
    plan::{client_command, runs_in_cloud},
    server::Server,
    store, switch, variables,
};
use crate::{
    backend::{
        address::is_remote,
        context::{SMALLER_MODEL, smaller},
        http,
        plan::{BackendPlan, Service},
        served::{FixedContext, Served},
        starting::{StartError, Starting},
    },
    base::{
        error::{Code, Failure},
        ui,
        variables::Variables,
    },
};

/// The timeout for the user's own server to list its loaded models, which is only needed for a note.
const LIST_TIMEOUT: Duration = Duration::from_millis(500);

/// Waits until every model of the plan is installed and loaded, and returns what the server serves.
pub(crate) async fn bring_up(plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, StartError> {
    let server = Server { client: starting.client, url: &starting.endpoint.url };
    let is_shared = matches!(plan.service, Service::Running(_));
    if is_shared {
        server.check_is_ollama().await?;
    } else {
        http::wait_until_up(starting, async || server.look().await).await?;
    }
    server.check_version().await?;
    for model in plan.models.iter().filter(|model| !store::is_cloud(model)) {
        server.install(model, starting).await?;
    }
    let mut served = Served::new();
    if plan.models.is_empty() {
        // The server's own client doesn't use a context.
        served.context = plan.context;
        return Ok(served);
    }
    let others = switch::Others::read(plan, starting.variables);
    if !is_shared {
        served.notes.extend(loaded_by_own_server(starting.client, starting.variables).await);
    }
    let mut has_shared_runner = false;
    // The main model is loaded last, so that it stays loaded if they don't all fit in memory.
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
            return Err(runs_in_cloud(model, Some(&store::cloud_name(&shown.remote_model))).into());
        }
        server.load(model, is_shared, starting).await?;
        let loaded = server.loaded().await;
        let own = loaded.iter().find(|loaded| store::is_same(&loaded.name, model));
        if own.is_none() {
            // Two names of the same file share a runner, which is listed under only one of them.
            has_shared_runner = true;
        }
        let Some(context) = own.or(loaded.iter().min_by_key(|one| one.context_length)).map(|one| one.context_length)
        else {
            return Err(not_kept(model, plan.context).into());
        };
        // The allocated context, which may be smaller than the requested one.
        let granted = if context > 0 { context } else { plan.context };
        served.grant(model, granted, shown.context());
        if granted < plan.context && served.of == *model {
            let fixed = fixed(model, shown.fixed_context(), plan.context);
            served.more_context = fixed.filter(|fixed| fixed.tokens < plan.context).map(|fixed| fixed.larger);
            let is_limit_of_model = shown.context().is_some_and(|trained| trained <= granted);
            if served.more_context.is_none() && is_shared && !is_limit_of_model {
                served.more_context = Some(larger_in_shared(model, plan.context));
            }
        }
    }
    served.others = others.like(&served).await;
    let loaded = server.loaded().await;
    let stayed = |model: &String| store::is_cloud(model) || loaded.iter().any(|one| store::is_same(&one.name, model));
    // If a runner has several names, the list can't tell whether each model is loaded.
    if !has_shared_runner && !plan.models.iter().all(stayed) {
        served.notes.push(format!(
            "warning: {} do not fit in memory together, so each switch between them reloads a model\n  \
             help: use one model for every tier, smaller models, or a smaller --context",
            ui::one_line(plan.models.join(" and "))
        ));
    }
    Ok(served)
}

/// Returns the context that a model's Modelfile sets.
pub(crate) fn fixed(model: &str, num_ctx: Option<u32>, asked: u32) -> Option<FixedContext> {
    let tokens = num_ctx?;
    let copy = copy_command(model, asked);
    let larger = format!("{copy}  # the Modelfile of {model} has num_ctx {tokens}, which overrides all settings");
    Some(FixedContext { tokens, larger })
}

/// Returns the help for a server that grants less than the `asked` context: its setting can't be overridden by a
/// request.
pub(crate) fn larger_in_shared(model: &str, asked: u32) -> String {
    let copy = copy_command(model, asked);
    format!(
        "{copy}  # or: lclaude local config set ollama.instance private; or restart that server with OLLAMA_CONTEXT_LENGTH={asked}"
    )
}

/// Returns the command that makes a copy of a model with the `asked` context, which overrides the server's setting, and
/// starts a session with it. The copy shares the model's files.
fn copy_command(model: &str, asked: u32) -> String {
    let copy = format!("{}-{}k", model.replace([':', '/'], "-").trim_end_matches("-latest"), asked / 1024);
    let create = client_command(model, &format!("create {copy} -f /dev/stdin"));
    format!(
        "printf 'FROM {model}\\nPARAMETER num_ctx {asked}\\n' | {create} && lclaude --backend ollama --model {copy}"
    )
}

fn not_kept(model: &str, context: u32) -> Failure {
    Failure::new(Code::Unavailable, format!("Ollama did not keep {model} in memory"))
        .cause("it was loaded, but the server no longer lists it")
        .help(smaller(context))
        .help(SMALLER_MODEL)
}

/// Returns a note if the user's own server has models loaded, since a private one may need their memory.
async fn loaded_by_own_server(client: &Client, variables: &Variables) -> Option<String> {
    let url = variables::url(None, variables);
    if is_remote(&url) {
        return None;
    }
    let loaded = timeout(LIST_TIMEOUT, Server { client, url: &url }.loaded()).await.ok()?;
    let names: Vec<&str> = loaded.iter().map(|model| model.name.as_str()).collect();
    let first = names.first()?;
    Some(format!(
        "your own Ollama server has {} loaded, which takes memory from the private one\n  help: ollama stop {}",
        ui::one_line(names.join(", ")),
        ui::one_line(ui::quote_command(std::iter::once(first.to_string())))
    ))
}
