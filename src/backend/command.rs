//! Any server that speaks `/v1/messages`, started by a command line of the user's: vLLM, SGLang, LocalAI, MLX servers,
//! llama-swap, …

use std::path::Path;

use reqwest::{Response, StatusCode};

use super::{
    http,
    plan::{BackendPlan, HOST, Health, Program, Service, Starting, Unfit},
    served::Served,
};
use crate::config::Kind;
use crate::{
    base::error::{Code, Failure, Result},
    config::Settings,
};

const HEALTH: &str = "/health";

/// # Errors
/// `Config` for a template that is missing, has no `{port}` or an unknown `{word}`; `Unavailable` for a program that is
/// not there.
pub fn plan(settings: &Settings, models: &[String], home: &Path, here: &Path) -> Result<BackendPlan> {
    let options = &settings.command;
    let bad = |what: &str| {
        Failure::new(Code::Config, what)
            .why(format!("{} has the [command]", settings.source("command.run")))
            .help(r#"[command] run = ["vllm", "serve", "{model}", "--port", "{port}"]"#)
    };
    let Some((name, template)) = options.run.split_first() else {
        return Err(bad("the backend is a command, and none is given"));
    };
    let model = models.first().cloned().unwrap_or_default();
    let context = settings.context().to_string();
    let known = [("{model}", model.as_str()), ("{context}", &context), ("{host}", HOST)];
    let fill = |text: &String| known.iter().fold(text.clone(), |text, (word, value)| text.replace(word, value));
    let mut arguments = Vec::new();
    for argument in template {
        if let Some(unknown) =
            placeholder(argument).find(|word| *word != "{port}" && known.iter().all(|(k, _)| k != word))
        {
            return Err(bad(&format!("[command] run has an unknown {unknown}"))
                .help("it may have {port}, {model}, {context} and {host}"));
        }
        arguments.push(fill(argument));
    }
    let environment = options.env.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
    let placed = |text: &String| text.contains("{port}");
    if !arguments.iter().any(placed) && !options.env.values().any(placed) {
        return Err(bad("[command] run has no {port}, so the server cannot be told its port"));
    }
    let named = Path::new(name);
    let path = (named.components().count() > 1).then(|| settings.path("command.run", named, home, here));
    let path = crate::backend::plan::program(path.as_deref(), name).ok_or_else(|| {
        Failure::new(Code::Unavailable, format!("{name} was not found"))
            .why(format!("[command] run in {} starts it", settings.source("command.run")))
            .help(format!("command -v {name}, or give its whole path"))
    })?;
    let health = options.health.clone().unwrap_or_else(|| HEALTH.into());
    if !health.starts_with('/') {
        return Err(bad("[command] health is not a path").help(r#"health = "/health""#));
    }
    let program = Program { arguments, environment, health, ..Program::new(path) };
    Ok(BackendPlan {
        kind: Kind::Command,
        origin: name.clone(),
        service: Service::Program(program),
        models: models.to_vec(),
        context: settings.context(),
    })
}

/// The `{words}` of a text.
fn placeholder(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('}').filter_map(|part| {
        let word = &part[part.rfind('{')?..];
        let inner = word.strip_prefix('{')?.strip_suffix('}')?;
        (!inner.is_empty() && inner.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).then_some(word)
    })
}

pub async fn bring_up(plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, Unfit> {
    let Starting { client, endpoint, .. } = starting;
    let Service::Program(program) = &plan.service else {
        return check(plan, starting).await;
    };
    let health = format!("{}{}", endpoint.url, program.health);
    http::until_up(starting, async || {
        match client.get(&health).timeout(http::PROMPT).send().await.map(|answer| answer.status()) {
            Ok(status) if status.is_success() => Health::Up,
            Ok(StatusCode::SERVICE_UNAVAILABLE) => Health::Loading,
            Ok(status) => {
                starting.tell(&format!("waiting for {}, which answers {}", program.health, status.as_u16()), None, "");
                Health::Silent
            }
            Err(_) => Health::Silent,
        }
    })
    .await?;
    check(plan, starting).await
}

/// What can be found out about a server that is up, whoever started it.
pub async fn check(plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, Unfit> {
    let Starting { client, endpoint, .. } = starting;
    let route = format!("{}/v1/messages", endpoint.url);
    let answer = match http::messages_route(client, endpoint).await {
        Ok(answer) => answer,
        Err(error) => {
            let why = format!("{route} does not answer: {}", http::in_words(&error));
            return Err(cannot_serve(plan, why).help(format!("curl -v {route} -d '{{}}'")).into());
        }
    };
    refuse(plan, &route, &answer)?;
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
fn refuse(plan: &BackendPlan, route: &str, answer: &Response) -> Result<()> {
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
        return Err(failed(format!("it does not take the token: {route} answers {status}")).help(match plan.kind {
            Kind::Endpoint => "[endpoint] token_env = \"NAME\" names the variable that holds its token",
            _ => "start it without a key: it listens on 127.0.0.1 only",
        }));
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
    match super::find::nearest_model(model, names.iter().copied()).or(names.first().copied()) {
        Some(near) => failure.help(format!("--model {near}")),
        None => failure.help("start it with a model"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_words_in_braces() {
        let found: Vec<&str> = placeholder(r#"--a={port} {"json": 1} {nonsense}x{}"#).collect();
        assert_eq!(found, ["{port}", "{nonsense}"]);
    }
}
