//! Checks that any running server, of any make, supports the Messages API and has the plan's models.

use reqwest::{Response, StatusCode};

use super::{
    http,
    model_list::{self, ModelEntry, ModelList},
    names,
    plan::{BackendPlan, Endpoint, Service},
    served::Served,
    starting::{StartError, Starting},
};
use crate::base::{
    error::{Code, Failure, Result},
    ui,
};

/// Returns what a running server serves. `token_help` is the help for a rejected token, unless a variable holds it.
///
/// # Errors
/// `Unavailable` if it doesn't answer, has no Messages API, rejects the token or lacks a model.
pub(crate) async fn check(plan: &BackendPlan, starting: &Starting<'_>, token_help: &str) -> Result<Served, StartError> {
    let Starting { client, endpoint, .. } = starting;
    let token_help = match &endpoint.token_variable {
        Some(variable) => format!("export {variable}=…  # the token that this server accepts"),
        None => token_help.to_owned(),
    };
    let route = format!("{}/v1/messages", endpoint.url);
    let unanswered = |why: &str| {
        cannot_serve(plan, format!("{route} does not answer: {why}")).help(format!("curl -v {route} -d '{{}}'"))
    };
    let answer = match http::probe_messages(client, endpoint).await {
        Ok(answer) => answer,
        Err(error) => return Err(unanswered(&http::describe_error(&error)).into()),
    };
    let (status, to) = (answer.status(), location(&answer));
    let body = http::read_body(answer, http::ANSWER_BYTES).await.map_err(|why| unanswered(&why))?;
    refuse(plan, &route, &Reply { endpoint, status, body: &body, to }, &token_help)?;
    let mut served = Served::new();
    // Some servers list no models, and some lists have no context.
    let offered = match list(plan, starting, &token_help, status, &body).await? {
        Listed::Models(list) => Some(list),
        Listed::Nothing(note) => {
            served.notes.extend(note);
            None
        }
    };
    for model in &plan.models {
        let known = offered.as_ref().and_then(|offered| offered.data.iter().find(|known| known.is_called(model)));
        if let Some(offered) = offered.as_ref().filter(|offered| known.is_none() && !offered.has_more) {
            return Err(unknown(plan, model, &offered.data).into());
        }
        let context = known.and_then(|known| known.context);
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
            known.and_then(|known| known.trained),
        );
    }
    Ok(served)
}

/// The models that a server lists, or a note about why it lists none.
enum Listed {
    Models(ModelList),
    Nothing(Option<String>),
}

/// Returns the models that the server lists. `status` and `body` are its response to an empty message.
///
/// # Errors
/// `Unavailable` if it rejects the token.
async fn list(
    plan: &BackendPlan,
    starting: &Starting<'_>,
    token_help: &str,
    status: StatusCode,
    body: &[u8],
) -> Result<Listed> {
    let Starting { client, endpoint, .. } = starting;
    let warning = |why: String| {
        Listed::Nothing(Some(format!(
            "warning: {} did not list its models, so {} is not checked: {why}\n  help: curl -v {}/v1/models",
            plan.name(),
            plan.models.join(", "),
            endpoint.url
        )))
    };
    let answer = match model_list::request(client, endpoint).timeout(http::ANSWER_TIMEOUT).send().await {
        Ok(answer) => answer,
        Err(error) => return Ok(warning(http::describe_error(&error))),
    };
    let listed = answer.status();
    if listed.is_success() {
        return Ok(model_list::read_list(answer).await.map_or_else(warning, Listed::Models));
    }
    if !matches!(listed, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Ok(Listed::Nothing(None));
    }
    let why = http::read_body(answer, http::ANSWER_BYTES).await.ok().and_then(|body| http::error_message(&body));
    let said = why.as_ref().map(|why| endpoint.masked(&format!(": {why}"))).unwrap_or_default();
    let answered = format!("{}/v1/models answers {listed}{said}", endpoint.url);
    // LiteLLM answers every request with a wrong token by the same 400. Some gateways forbid only the list.
    if listed == StatusCode::UNAUTHORIZED || listed == status && why == http::error_message(body) {
        return Err(cannot_serve(plan, format!("it rejected the token: {answered}")).help(token_help));
    }
    Ok(Listed::Nothing(Some(format!(
        "warning: {answered}; it may reject the token, so {} is not checked\n  help: {token_help}",
        plan.models.join(", ")
    ))))
}

/// Returns whether the command line or environment sets the plan's context, so that the server uses it.
fn is_told_its_context(plan: &BackendPlan) -> bool {
    let asked = plan.context.to_string();
    matches!(&plan.service, Service::Program(program)
        if program.arguments.iter().chain(program.environment.values()).any(|text| text.contains(&asked)))
}

/// A server's response to an empty message.
struct Reply<'a> {
    endpoint: &'a Endpoint,
    status: StatusCode,
    body: &'a [u8],
    /// Where it redirects to.
    to: Option<String>,
}

fn location(answer: &Response) -> Option<String> {
    let to = answer.headers().get("location")?.to_str().ok()?;
    Some(ui::shorten(to, MAX_LOCATION))
}

/// Characters of a redirect's address that are shown.
const MAX_LOCATION: usize = 200;

/// Rejects a server by its response to an empty request.
fn refuse(plan: &BackendPlan, route: &str, reply: &Reply<'_>, token_help: &str) -> Result<()> {
    let failed = |why: String| cannot_serve(plan, reply.endpoint.masked(&why));
    let (status, body) = (reply.status, reply.body);
    if http::is_missing_route(status) && !(status == StatusCode::NOT_FOUND && http::is_about_models(body)) {
        return Err(failed(format!("it has no route {route}"))
            .help("use a server with Anthropic's Messages API, or put LiteLLM in front of this one"));
    }
    if status.is_redirection() {
        let to = reply.to.as_deref().unwrap_or("another URL");
        return Err(failed(format!("{route} redirects to {to}"))
            .help("lclaude local config set endpoint.url URL  # the one that it redirects to"));
    }
    let said = http::error_message(body).map(|said| format!(": {said}")).unwrap_or_default();
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Err(failed(format!("it rejected the token: {route} answers {status}{said}")).help(token_help));
    }
    if status.is_server_error() && status != StatusCode::INTERNAL_SERVER_ERROR {
        return Err(failed(format!("{route} answers {status}{said}"))
            .help(format!("curl -v {route} -d '{{}}'"))
            .help("check that server's log"));
    }
    if status.is_success() && !is_message(body) {
        return Err(failed(format!("{route} accepted an empty request, so it isn't the Messages API"))
            .help(format!("curl -v {route} -d '{{}}'")));
    }
    Ok(())
}

/// Returns whether a body is a message of the Messages API: claude-code-router 2.0.0 answers even an empty request.
fn is_message(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Message {
        r#type: String,
    }
    serde_json::from_slice(body).is_ok_and(|Message { r#type }| r#type == "message")
}

fn cannot_serve(plan: &BackendPlan, why: String) -> Failure {
    Failure::new(Code::Unavailable, format!("{} cannot serve Claude Code", plan.name())).cause(why)
}

fn unknown(plan: &BackendPlan, model: &str, offered: &[ModelEntry]) -> Failure {
    let names: Vec<&str> = offered.iter().map(|known| known.id.as_str()).collect();
    let has = match names.as_slice() {
        [] => "it has none".into(),
        names => format!("it has {}; names must match exactly", names::list_some(names)),
    };
    let failure = Failure::new(Code::Unavailable, format!("{} has no model {model:?}", plan.name())).cause(has);
    match names::nearest_model(model, names.iter().copied())
        .or(names.first().copied().filter(|name| name.len() <= names::MAX_NAME))
    {
        Some(near) => failure.help(format!("lclaude --model {near}")),
        None => failure.help("start it with a model loaded"),
    }
}
