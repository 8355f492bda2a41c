//! Whether a server that is up speaks the Messages API, and what it says of its models: what is asked of any server of
//! which nothing else is known.

use reqwest::{Response, StatusCode};

use super::{
    http, names,
    plan::{BackendPlan, Service},
    served::Served,
    starting::{Starting, Unfit},
};
use crate::base::error::{Code, Failure, Result};

/// Returns what can be found out about a server that is up, whoever started it.
///
/// `token_help`: what helps where it does not take the token.
pub async fn check(plan: &BackendPlan, starting: &Starting<'_>, token_help: &str) -> Result<Served, Unfit> {
    let Starting { client, endpoint, .. } = starting;
    let route = format!("{}/v1/messages", endpoint.url);
    let answer = match http::messages_route(client, endpoint).await {
        Ok(answer) => answer,
        Err(error) => {
            let why = format!("{route} does not answer: {}", http::in_words(&error));
            return Err(cannot_serve(plan, why).help(format!("curl -v {route} -d '{{}}'")).into());
        }
    };
    refuse(plan, &route, &answer, token_help)?;
    let mut served = Served::new();
    // Not every server has a list, nor every list a context.
    let offered = http::models(client, endpoint).await;
    for model in &plan.models {
        let known = offered.as_ref().map(|offered| {
            let known = offered.iter().find(|known| known.id == *model);
            known.ok_or_else(|| unknown(plan, model, offered))
        });
        let known = known.transpose()?;
        let context = known.and_then(http::Offered::context);
        if context.is_none() && !is_told_its_context(plan) {
            served.notes.push(format!(
                "warning: {} does not say which context {model} has; {} tokens are assumed\n  \
                 help: --context TOKENS, or context = TOKENS in the configuration, says what it has",
                plan.name(),
                plan.context
            ));
        }
        served.grant(
            model,
            context.map_or(plan.context, |has| has.min(plan.context)),
            known.and_then(http::Offered::trained),
        );
    }
    Ok(served)
}

/// Whether a command line has the context that is asked for, which the server then is to give.
fn is_told_its_context(plan: &BackendPlan) -> bool {
    let asked = plan.context.to_string();
    matches!(&plan.service, Service::Program(program)
        if program.arguments.iter().chain(program.environment.values()).any(|text| text.contains(&asked)))
}

/// What its answer to an empty request says against it.
fn refuse(plan: &BackendPlan, route: &str, answer: &Response, token_help: &str) -> Result<()> {
    let failed = |why: String| cannot_serve(plan, why);
    let status = answer.status();
    if http::is_absent(status) {
        return Err(failed(format!("it has no route {route}")).help(
            "a server that speaks Anthropic's Messages API is needed, or LiteLLM in front of one that does not",
        ));
    }
    if status.is_redirection() {
        let to = answer.headers().get("location").and_then(|to| to.to_str().ok()).unwrap_or("another place");
        return Err(failed(format!("{route} sends requests on to {to}"))
            .help("write the address where the server really is into the configuration"));
    }
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Err(failed(format!("it does not take the token: {route} answers {status}")).help(token_help));
    }
    if status.is_server_error() && status != StatusCode::INTERNAL_SERVER_ERROR {
        return Err(failed(format!("{route} answers {status}"))
            .help(format!("look into that server's log, and try again: curl -v {route} -d '{{}}'")));
    }
    if status.is_success() {
        return Err(failed(format!("{route} takes an empty request for a good one, so it is something else"))
            .help(format!("curl -v {route} -d '{{}}'")));
    }
    Ok(())
}

fn cannot_serve(plan: &BackendPlan, why: String) -> Failure {
    Failure::new(Code::Unavailable, format!("{} cannot serve Claude Code", plan.name())).why(why)
}

fn unknown(plan: &BackendPlan, model: &str, offered: &[http::Offered]) -> Failure {
    let names: Vec<&str> = offered.iter().map(|known| known.id.as_str()).collect();
    let failure = Failure::new(Code::Unavailable, format!("{} has no model {model:?}", plan.name()))
        .why(format!("it has {}; a name must match to the letter", names.join(", ")));
    match names::nearest_model(model, names.iter().copied()).or(names.first().copied()) {
        Some(near) => failure.help(format!("--model {near}")),
        None => failure.help("start it with a model"),
    }
}
