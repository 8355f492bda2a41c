//! The plan of a `[command]`, and waiting for its server.

use std::path::Path;

use reqwest::StatusCode;

use crate::{
    backend::{
        http, messages,
        plan::{BackendPlan, HOST, Program, Service},
        program,
        served::Served,
        starting::{Health, Starting, Unfit},
    },
    base::error::{Code, Failure, Result},
    config::{Kind, Settings},
};

/// What helps where the server wants a token.
const TOKEN_HELP: &str = "start it without a key: it listens on 127.0.0.1 only";
const HEALTH: &str = "/health";

/// # Errors
/// `Config` for a template that is missing, has no `{port}` or an unknown `{word}`; `Unavailable` for a program that is
/// not there.
pub fn plan(settings: &Settings, models: &[String]) -> Result<BackendPlan> {
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
    let is_path = named.components().count() > 1;
    let path = program::find(is_path.then_some(named), name).ok_or_else(|| {
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
        return messages::check(plan, starting, TOKEN_HELP).await;
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
    messages::check(plan, starting, TOKEN_HELP).await
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
