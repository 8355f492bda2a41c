//! Checks that any running server, of any make, supports the Messages API and has the plan's models.

use reqwest::{Response, StatusCode};

use super::{
    http, names,
    plan::{BackendPlan, Service},
    served::Served,
    starting::{StartError, Starting},
};
use crate::base::{
    error::{Code, Failure, Result},
    ui,
};

/// Returns what a running server serves. `token_help` is the help for a rejected token.
///
/// # Errors
/// `Unavailable` if it doesn't answer, has no Messages API, rejects the token or lacks a model.
pub(crate) async fn check(plan: &BackendPlan, starting: &Starting<'_>, token_help: &str) -> Result<Served, StartError> {
    let Starting { client, endpoint, .. } = starting;
    let route = format!("{}/v1/messages", endpoint.url);
    let answer = match http::probe_messages(client, endpoint).await {
        Ok(answer) => answer,
        Err(error) => {
            let why = format!("{route} does not answer: {}", http::describe_error(&error));
            return Err(cannot_serve(plan, why).help(format!("curl -v {route} -d '{{}}'")).into());
        }
    };
    refuse(plan, &route, &answer, token_help)?;
    let mut served = Served::new();
    // Some servers list no models, and some lists have no context.
    let offered = http::models(client, endpoint).await;
    for model in &plan.models {
        let known = offered.as_ref().map(|offered| {
            let known = offered.iter().find(|known| known.id == *model);
            known.ok_or_else(|| unknown(plan, model, offered))
        });
        let known = known.transpose()?;
        let context = known.and_then(http::ModelEntry::context);
        if context.is_none() && !is_told_its_context(plan) {
            served.notes.push(format!(
                "warning: {} does not report the context of {}; assuming {} tokens\n  \
                 help: lclaude --context TOKENS",
                ui::one_line(plan.name()),
                ui::one_line(model),
                plan.context
            ));
        }
        served.grant(
            model,
            context.map_or(plan.context, |has| has.min(plan.context)),
            known.and_then(http::ModelEntry::trained),
        );
    }
    Ok(served)
}

/// Returns whether the command line or environment sets the plan's context, so that the server uses it.
fn is_told_its_context(plan: &BackendPlan) -> bool {
    let asked = plan.context.to_string();
    matches!(&plan.service, Service::Program(program)
        if program.arguments.iter().chain(program.environment.values()).any(|text| text.contains(&asked)))
}

/// Rejects a server by its response to an empty request.
fn refuse(plan: &BackendPlan, route: &str, answer: &Response, token_help: &str) -> Result<()> {
    let failed = |why: String| cannot_serve(plan, why);
    let status = answer.status();
    if http::is_missing_route(status) {
        return Err(failed(format!("it has no route {route}"))
            .help("use a server with Anthropic's Messages API, or put LiteLLM in front of this one"));
    }
    if status.is_redirection() {
        let to = answer.headers().get("location").and_then(|to| to.to_str().ok()).unwrap_or("another URL");
        return Err(failed(format!("{route} redirects to {to}"))
            .help("set the URL in the configuration to the one that it redirects to"));
    }
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Err(failed(format!("it rejected the token: {route} answers {status}")).help(token_help));
    }
    if status.is_server_error() && status != StatusCode::INTERNAL_SERVER_ERROR {
        return Err(failed(format!("{route} answers {status}"))
            .help(format!("curl -v {route} -d '{{}}'"))
            .help("check that server's log"));
    }
    if status.is_success() {
        return Err(failed(format!("{route} accepted an empty request, so it isn't the Messages API"))
            .help(format!("curl -v {route} -d '{{}}'")));
    }
    Ok(())
}

fn cannot_serve(plan: &BackendPlan, why: String) -> Failure {
    Failure::new(Code::Unavailable, format!("{} cannot serve Claude Code", plan.name())).cause(why)
}

fn unknown(plan: &BackendPlan, model: &str, offered: &[http::ModelEntry]) -> Failure {
    let names: Vec<&str> = offered.iter().map(|known| known.id.as_str()).collect();
    let failure = Failure::new(Code::Unavailable, format!("{} has no model {model:?}", plan.name()))
        .cause(format!("it has {}; names must match exactly", names.join(", ")));
    match names::nearest_model(model, names.iter().copied()).or(names.first().copied()) {
        Some(near) => failure.help(format!("lclaude --backend {} --model {near}", plan.kind)),
        None => failure.help("start it with a model loaded"),
    }
}
