//! Builds the plan of a `[command]`, and waits for its server.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::StatusCode;

use super::key;
use crate::{
    backend::{
        http, messages,
        plan::{BackendPlan, HOST, Program, Service, StopCommand, TOKEN},
        program,
        served::Served,
        starting::{Health, StartError, Starting},
    },
    base::{
        error::{Code, Failure, Result},
        spawn::not_executable,
        ui, wsl,
    },
    config::{Kind, Settings, Source},
};

/// The default health path.
const HEALTH: &str = "/health";

/// The default of `stop_timeout`.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the plan.
///
/// # Errors
/// `Config` if the template is missing, lacks `{port}` or has an unknown `{word}`; `Unavailable` if a program is missing.
pub(crate) fn plan(settings: &Settings, models: &[String]) -> Result<BackendPlan> {
    let options = &settings.command;
    let bad = |what: &str| bad_template(settings, RUN, what);
    if options.run.is_empty() {
        return Err(bad("[command] run is not set"));
    }
    let context = settings.context().to_string();
    let model = models.first().cloned().unwrap_or_default();
    let known = [("{model}", model.as_str()), ("{context}", &context), ("{host}", HOST)];
    let program = template(settings, RUN, &options.run, &known)?;
    let has_port = |text: &String| text.contains("{port}");
    if !program.arguments.iter().any(has_port) && !options.env.values().any(has_port) {
        return Err(bad("neither [command] run nor [command] env passes {port} to the server"));
    }
    let health = options.health.clone().unwrap_or_else(|| HEALTH.into());
    if !health.starts_with('/') {
        return Err(
            bad("[command] health does not start with /").help("lclaude local config set command.health /health")
        );
    }
    let timeout = options.stop_timeout.unwrap_or(STOP_TIMEOUT);
    let stop = match options.stop.is_empty() {
        true => None,
        false => Some(StopCommand { program: template(settings, STOP, &options.stop, &known)?, timeout }.into()),
    };
    Ok(BackendPlan {
        kind: Kind::Command,
        origin: options.run[0].clone(),
        service: Service::Program(Program { health, stop, ..program }),
        models: models.to_vec(),
        context: settings.context(),
    })
}

/// A key with a command line, and an example of its value.
type Key = (&'static str, &'static str);

const RUN: Key = ("run", r#"["vllm", "serve", "{model}", "--port", "{port}"]"#);
const STOP: Key = ("stop", r#"["docker", "stop", "lclaude-{port}"]"#);

fn bad_template(settings: &Settings, (key, example): Key, what: &str) -> Failure {
    let cause = match settings.source(&format!("command.{key}")) {
        _ if !settings.describes(Kind::Command) => "the command backend needs a command that starts a server".into(),
        Source::Default => "the command backend needs a command that starts a server".into(),
        source => format!("[command] {key} comes from {source}"),
    };
    Failure::new(Code::Config, what)
        .cause(cause)
        .help(format!("lclaude local config set command.{key} {}", ui::single_quoted(example)))
}

/// Returns the program of a command line, with `[command] env`. `known`: the placeholders that are filled in now.
fn template(settings: &Settings, key: Key, words: &[String], known: &[(&str, &str)]) -> Result<Program> {
    let Some((name, template)) = words.split_first() else {
        return Err(bad_template(settings, key, &format!("[command] {} is empty", key.0)));
    };
    let fill = |text: &String| known.iter().fold(text.clone(), |text, (word, value)| text.replace(word, value));
    let is_known = |word: &str| ["{port}", TOKEN].contains(&word) || known.iter().any(|(known, _)| *known == word);
    if let Some(unknown) = template.iter().flat_map(|text| placeholders(text)).find(|word| !is_known(word)) {
        return Err(bad_template(settings, key, &format!("[command] {} has an unknown placeholder {unknown}", key.0))
            .help("use only {port}, {model}, {context}, {host} and {token}"));
    }
    let arguments: Vec<String> = template.iter().map(fill).collect();
    let env = &settings.command.env;
    let environment = env.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
    let fills_token = arguments.iter().chain(env.values()).any(|text| text.contains(TOKEN));
    let path = find_program(settings, key.0, name)?;
    Ok(Program { arguments, environment, fills_token, ..Program::new(path) })
}

/// Returns the path of the program that `key` names.
fn find_program(settings: &Settings, key: &str, name: &str) -> Result<PathBuf> {
    let named = Path::new(name);
    let is_path = named.components().count() > 1;
    let set_by = || format!("{} sets it as [command] {key}", settings.source(&format!("command.{key}")));
    program::find(is_path.then_some(named), name).ok_or_else(|| {
        if let Some(path) = program::windows_program(is_path.then_some(named), name) {
            return Failure::new(Code::Unavailable, format!("{} is a Windows program", path.display()))
                .cause(format!("{}, but {}", set_by(), program::NOT_OURS))
                .help("install the server inside WSL")
                .help(format!(
                    "lclaude --url http://{}:PORT  # uses a server that is already running on Windows",
                    wsl::windows_host()
                ));
        }
        if is_path && named.is_file() {
            let (why, help) = not_executable(named);
            return Failure::new(Code::Unavailable, format!("{name} {why}")).cause(set_by()).help(help);
        }
        Failure::new(Code::Unavailable, format!("{name} was not found"))
            .cause(set_by())
            .help(format!("command -v {}", ui::quote_path(named)))
            .help(format!("lclaude local config edit  # [command] {key}: the full path of the program"))
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
