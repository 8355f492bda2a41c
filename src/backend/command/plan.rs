//! Builds the plan of a `[command]`, and waits for its server.

use std::path::Path;

use reqwest::StatusCode;

use super::key;
use crate::{
    backend::{
        http, messages,
        plan::{BackendPlan, HOST, Program, Service, TOKEN},
        program,
        served::Served,
        starting::{Health, StartError, Starting},
    },
    base::{
        error::{Code, Failure, Result},
        spawn::not_executable,
        ui,
    },
    config::{Kind, Settings, Source},
};

/// The default health path.
const HEALTH: &str = "/health";

/// Returns the plan.
///
/// # Errors
/// `Config` if the template is missing, lacks `{port}` or has an unknown `{word}`; `Unavailable` if the program is
/// missing.
pub(crate) fn plan(settings: &Settings, models: &[String]) -> Result<BackendPlan> {
    let options = &settings.command;
    let cause = match settings.source("command.run") {
        Source::Default => "the command backend needs a command that starts a server".into(),
        source => format!("[command] run comes from {source}"),
    };
    let bad = |what: &str| {
        Failure::new(Code::Config, what)
            .cause(cause.clone())
            .help(r#"set [command] run = ["vllm", "serve", "{model}", "--port", "{port}"]"#)
    };
    let Some((name, template)) = options.run.split_first() else {
        return Err(bad("[command] run is not set"));
    };
    let model = models.first().cloned().unwrap_or_default();
    let context = settings.context().to_string();
    let known = [("{model}", model.as_str()), ("{context}", &context), ("{host}", HOST)];
    let fill = |text: &String| known.iter().fold(text.clone(), |text, (word, value)| text.replace(word, value));
    let mut arguments = Vec::new();
    for argument in template {
        if let Some(unknown) = placeholders(argument)
            .find(|word| !["{port}", TOKEN].contains(word) && known.iter().all(|(k, _)| k != word))
        {
            return Err(bad(&format!("[command] run has an unknown placeholder {unknown}"))
                .help("use only {port}, {model}, {context}, {host} and {token}"));
        }
        arguments.push(fill(argument));
    }
    let environment = options.env.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
    let has_port = |text: &String| text.contains("{port}");
    if !arguments.iter().any(has_port) && !options.env.values().any(has_port) {
        return Err(bad("neither [command] run nor [command] env passes {port} to the server"));
    }
    let named = Path::new(name);
    let is_path = named.components().count() > 1;
    let path = program::find(is_path.then_some(named), name).ok_or_else(|| {
        if is_path && named.is_file() {
            let (why, help) = not_executable(named);
            return Failure::new(Code::Unavailable, format!("{name} {why}"))
                .cause(format!("{} sets it as [command] run", settings.source("command.run")))
                .help(help);
        }
        Failure::new(Code::Unavailable, format!("{name} was not found"))
            .cause(format!("{} sets it as [command] run", settings.source("command.run")))
            .help(format!("command -v {}", ui::quote_path(named)))
            .help("set [command] run to the full path of the program")
    })?;
    let health = options.health.clone().unwrap_or_else(|| HEALTH.into());
    if !health.starts_with('/') {
        return Err(bad("[command] health does not start with /").help(r#"[command] health = "/health""#));
    }
    let fills_token = arguments.iter().chain(options.env.values()).any(|text| text.contains(TOKEN));
    let program = Program { arguments, environment, fills_token, health, ..Program::new(path) };
    Ok(BackendPlan {
        kind: Kind::Command,
        origin: name.clone(),
        service: Service::Program(program),
        models: models.to_vec(),
        context: settings.context(),
    })
}

/// Returns the `{words}` of a text.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('}').filter_map(|part| {
        let word = &part[part.rfind('{')?..];
        let inner = word.strip_prefix('{')?.strip_suffix('}')?;
        (!inner.is_empty() && inner.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).then_some(word)
    })
}

/// Waits until the server is healthy, and returns what it serves.
pub(crate) async fn bring_up(plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, StartError> {
    let Starting { client, endpoint, .. } = starting;
    let Service::Program(program) = &plan.service else {
        unreachable!("a command's plan has a program");
    };
    let health = format!("{}{}", endpoint.url, program.health);
    http::wait_until_up(starting, async || {
        let request = endpoint.authorize(client.get(&health)).timeout(http::ANSWER_TIMEOUT);
        match request.send().await.map(|answer| answer.status()) {
            Ok(status) if status.is_success() => Health::Up,
            // It is up; the check below says that it wants another key.
            Ok(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Health::Up,
            Ok(StatusCode::SERVICE_UNAVAILABLE) => Health::Loading,
            Ok(status) => {
                starting.report(&format!("waiting for {} (status {})", program.health, status.as_u16()), None, "");
                Health::Unreachable
            }
            Err(_) => Health::Unreachable,
        }
    })
    .await?;
    let mut served = messages::check(plan, starting, &key::rejected(program, starting.variables)).await?;
    served.notes.extend(key::exposed(program));
    Ok(served)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_words_in_braces() {
        let found: Vec<&str> = placeholders(r#"--a={port} {"json": 1} {nonsense}x{}"#).collect();
        assert_eq!(found, ["{port}", "{nonsense}"]);
    }
}
