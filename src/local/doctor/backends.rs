//! The backends: each one that is installed, and the chosen one down to its model.

use super::subject::Subject;
use std::{
    path::{Path, PathBuf},
    process::Output,
};

use super::{
    check::{Area, Check, State},
    edit::edit,
    edit::mendable,
    program,
};
use crate::{
    backend::{self, BackendPlan, Chosen, Served, Service, llamacpp, lmstudio, ollama},
    base::error::Failure,
    config::{Instance, Kind, Settings},
    launch,
    session::plan,
};

const AREA: Area = Area::Backends;

/// Gives the chosen backend's plan, where there is one.
pub async fn check(subject: &Subject<'_>, checks: &mut Vec<Check>) -> Option<BackendPlan> {
    let Subject { settings, places, here, file, .. } = *subject;
    let chosen = backend::choose(settings, &places.home, here);
    let kind = chosen.as_ref().ok().map(|(kind, _)| *kind);
    let plan = chosen.and_then(|_| backend::plan(settings, &places.home, here));
    let worst = |of: Kind| if kind == Some(of) { State::Failure } else { State::Ok };

    ollama(subject, worst(Kind::Ollama), checks).await;
    let found = |outcome: Result<PathBuf, Failure>| outcome.map_err(|failure| mendable(failure, file));
    let programs = [
        (Kind::LmStudio, "lmstudio program", found(lmstudio::program(settings, &places.home, here))),
        (Kind::LlamaCpp, "llamacpp program", found(llamacpp::program(settings, &places.home, here))),
    ];
    for (of, name, found) in programs {
        checks.push(installed(name, worst(of), &found));
        if let (Ok(path), Kind::LlamaCpp) = (&found, of) {
            checks.push(llama_version(path, plan.as_ref().ok(), settings).await.no_worse_than(worst(of)));
        }
    }
    let configured = |is: bool, what: &str| if is { what.to_owned() } else { "not configured".to_owned() };
    checks.push(Check::ok(AREA, "command", configured(!settings.command.run.is_empty(), "[command] run is set")));
    let url = settings.endpoint.url.as_deref().map(|_| "[endpoint] url is set");
    checks.push(Check::ok(AREA, "endpoint", configured(url.is_some(), url.unwrap_or_default())));

    match plan {
        Ok(Chosen { plan, reason, .. }) => {
            // The reason begins with the backend's name.
            checks.push(Check::ok(AREA, "choice", reason.unwrap_or_else(|| plan.kind.to_string())));
            model(subject, &plan, checks).await;
            Some(plan)
        }
        Err(failure) => {
            let failure = mendable(failure, file);
            // Its program's own line has said it already.
            if !checks.iter().any(|check| check.state == State::Failure && check.found == failure.what) {
                checks.push(Check::failed(AREA, "choice", &failure));
            }
            None
        }
    }
}

/// A program that is missing is no failure unless it was chosen.
fn installed(name: &'static str, worst: State, found: &Result<PathBuf, Failure>) -> Check {
    match found {
        Ok(path) => Check::ok(AREA, name, path.display().to_string()),
        Err(_) if worst == State::Ok => Check::ok(AREA, name, "not installed, and not chosen"),
        Err(failure) => Check::failed(AREA, name, failure),
    }
}

async fn ollama(subject: &Subject<'_>, worst: State, checks: &mut Vec<Check>) {
    let Subject { settings, places, here, file, .. } = *subject;
    let is_shared = settings.ollama.instance == Instance::Shared;
    let found = ollama::program(settings, &places.home, here).map_err(|failure| mendable(failure, file));
    // A server that runs needs no program of ours.
    checks.push(installed("ollama program", if is_shared { State::Ok } else { worst }, &found));
    if let Ok(path) = &found {
        let check = match program::ask(path, "--version").await {
            Ok(Some(output)) if output.status.success() => {
                let version = program::version(&output).unwrap_or_else(|| "0.0.0".into());
                Check::of(AREA, "ollama version", ollama::check_release(&version), |()| version.clone())
            }
            Ok(Some(output)) => not_running(path, &backend::in_words(Some(output.status)), Kind::Ollama),
            Ok(None) => not_running(path, "no answer in time", Kind::Ollama),
            Err(error) => not_running(path, &error.to_string(), Kind::Ollama),
        };
        checks.push(Check { name: "ollama version", ..check }.no_worse_than(worst));
    }
    let (url, there) = ollama::look::own_server(settings).await;
    let needed = if is_shared { worst } else { State::Ok };
    let there = there.map_err(|failure| mendable(failure, file));
    let server = Check::of(AREA, "ollama server", there, |()| format!("runs at {url}"));
    checks.push(match needed {
        State::Ok if server.state != State::Ok => Check::ok(AREA, "ollama server", format!("none runs at {url}")),
        _ => server,
    });
    let models = ollama::installed(settings, &places.home, here);
    let found = if models.is_empty() { "none on this machine's disk".into() } else { models.join(", ") };
    checks.push(Check::ok(AREA, "ollama models", found));
}

fn not_running(path: &Path, how: &str, kind: Kind) -> Check {
    Check::failure(AREA, "", format!("{} does not run", path.display()))
        .why(format!("asked for its version: {how}"))
        .help(backend::install::best(kind))
}

/// The one server whose releases have no lowest number worth knowing: what matters is that it runs here.
async fn llama_version(path: &Path, plan: Option<&Chosen>, settings: &Settings) -> Check {
    let name = "llamacpp version";
    let output = match program::ask(path, "--version").await {
        Ok(Some(output)) => output,
        Ok(None) => return Check { name, ..not_running(path, "no answer in time", Kind::LlamaCpp) },
        Err(error) => return Check { name, ..not_running(path, &error.to_string(), Kind::LlamaCpp) },
    };
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    let lines: Vec<String> = said.lines().map(str::to_owned).collect();
    if !output.status.success() {
        let bare = || BackendPlan {
            kind: Kind::LlamaCpp,
            service: Service::Program(backend::Program::new(path.to_owned())),
            models: Vec::new(),
            origin: "the model".into(),
            context: settings.context(),
        };
        let plan = plan.map_or_else(bare, |chosen| chosen.plan.clone());
        let cause = backend::diagnose(Some(output.status), &lines);
        return Check::failed(
            AREA,
            name,
            &cause.failure(&plan, Some(output.status), lines).help(backend::install::best(Kind::LlamaCpp)),
        );
    }
    // Its own help says what no number would: releases from forks and packages count differently.
    let help = program::ask(path, "--help").await.ok().flatten();
    let knows = |help: Output| String::from_utf8_lossy(&help.stdout).contains(llamacpp::NEWEST_OPTION);
    if !help.is_some_and(knows) {
        return Check::failure(AREA, name, format!("{} is too old", path.display()))
            .why(format!("it does not know {}, with which its port is kept from others", llamacpp::NEWEST_OPTION))
            .help(backend::install::best(Kind::LlamaCpp));
    }
    let version = lines.iter().find_map(|line| line.strip_prefix("version: "));
    Check::ok(AREA, name, version.unwrap_or("it does not tell"))
}

/// What can be known of the chosen backend's models without starting it.
async fn model(subject: &Subject<'_>, plan: &BackendPlan, checks: &mut Vec<Check>) {
    let Subject { settings, places, file, yes, .. } = *subject;
    let failed = |name, failure: Failure| Check::failed(AREA, name, &mendable(failure, file));
    let found = |what: &str| Check::ok(AREA, "model", format!("{} from {}{what}", plan.models.join(", "), plan.origin));
    let refused = |missing: &[String]| {
        let failure = launch::refuse_download(settings.untrusted_choice(), missing.first()?).err()?;
        Some(Check::failed(AREA, "model", &failure))
    };
    match (plan.kind, &plan.service) {
        (Kind::LlamaCpp, _) => {
            let missing = llamacpp::missing(settings, &plan.models, &places.home);
            checks.push(refused(&missing).unwrap_or_else(|| match missing.first() {
                Some(model) if yes => Check::ok(AREA, "model", format!("{model} will be downloaded")),
                Some(_) => failed("model", llamacpp::none_chosen()),
                None => match llamacpp::to_be_downloaded(&plan.models, &places.home)[..] {
                    [] => found(""),
                    ref names => {
                        let names = names.join(" and ");
                        Check::ok(AREA, "model", format!("{names} is not here yet; the first session downloads it"))
                    }
                },
            }));
            checks.extend(on_disk(subject, plan).await);
        }
        (Kind::Ollama, Service::Running(url)) => {
            let missing = ollama::missing_at(url, plan).await;
            match refused(&missing) {
                Some(refused) => return checks.push(refused),
                None if missing.is_empty() || yes => checks.push(found("")),
                None => {}
            }
            ask_ollama(subject, url, plan, failed, checks).await;
        }
        (Kind::Ollama, _) => {
            let missing = ollama::missing(plan, &places.home).unwrap_or_default();
            let failure = missing.first().and_then(|model| ollama::not_installed(plan, model, &places.home));
            let is_there = failure.is_none();
            checks.push(refused(&missing).unwrap_or_else(|| match failure {
                Some(failure) if !yes => failed("model", failure),
                Some(_) => Check::ok(AREA, "model", format!("{} will be pulled", missing.join(", "))),
                None => found(""),
            }));
            // The user's own server may know what a private one will find out.
            match ollama::look::own_server(settings).await {
                (url, Ok(())) if is_there && ollama::missing_at(&url, plan).await.is_empty() => {
                    ask_ollama(subject, &url, plan, failed, checks).await;
                }
                _ => checks.extend(on_disk(subject, plan).await),
            }
        }
        (Kind::LmStudio, Service::Studio(studio)) => match studio.look(&plan.models).await {
            Ok(None) => {
                checks.push(Check::ok(AREA, "lmstudio server", "LM Studio does not run; lclaude starts it"));
                checks.push(later("model"));
            }
            Ok(Some(seen)) => {
                let server = seen.port.map_or("none; lclaude starts it".into(), |port| format!("runs on port {port}"));
                checks.push(Check::ok(AREA, "lmstudio server", server));
                match seen.models {
                    Ok(trained) => {
                        checks.push(found(", and can call tools"));
                        checks.push(context(subject, plan, trained, None));
                    }
                    Err(failure) => checks.push(failed("model", failure)),
                }
            }
            Err(failure) => checks.push(failed("lmstudio server", failure)),
        },
        (Kind::Endpoint, Service::Running(url)) => {
            let visited = match backend::endpoint::of(settings) {
                Ok(endpoint) => backend::visit(plan, &endpoint).await,
                Err(failure) => Err(failure),
            };
            match visited {
                Ok(Served { context: granted, trained, .. }) => {
                    checks.push(Check::ok(AREA, "endpoint server", format!("{url} answers, and takes the token")));
                    checks.push(found(""));
                    checks.push(context(subject, plan, trained.or(Some(granted)), None));
                }
                Err(failure) => checks.push(failed("endpoint server", failure)),
            }
        }
        _ => {
            checks.push(found(""));
            checks.push(later("tools"));
        }
    }
}

/// What the model's own file tells.
async fn on_disk(subject: &Subject<'_>, plan: &BackendPlan) -> Vec<Check> {
    let Subject { settings, places, here, file, .. } = *subject;
    let listed = backend::listing::of(plan.kind, settings, &places.home, here).await.ok().flatten().unwrap_or_default();
    let Some(model) = listed.into_iter().find(|listed| listed.served == plan.models[0]) else {
        return vec![later("tools")];
    };
    if let Some(problem) = model.problem {
        return vec![Check::warning(AREA, "tools", problem).why("a download may have broken off").help(edit(file))];
    }
    let tools = match model.tools {
        None => later("tools"),
        Some(true) => Check::ok(AREA, "tools", "its chat template has them; --live tries one"),
        Some(false) => Check::warning(AREA, "tools", format!("{} cannot call tools", plan.models[0]))
            .why("its chat template has none, so Claude Code can talk but neither read nor write files")
            .help(edit(file)),
    };
    vec![tools, context(subject, plan, model.trained, None)]
}

/// What only a backend that runs can tell.
fn later(name: &'static str) -> Check {
    Check::ok(AREA, name, "known once the backend runs; --live asks it")
}

async fn ask_ollama(
    subject: &Subject<'_>,
    url: &str,
    plan: &BackendPlan,
    failed: impl Fn(&'static str, Failure) -> Check,
    checks: &mut Vec<Check>,
) {
    if ollama::sends_away(plan).is_some() {
        return checks.push(Check::warning(AREA, "tools", "it runs on Ollama's servers, and your code goes there"));
    }
    match ollama::look::known(url, &plan.models[0], plan.context).await {
        Ok(known) => {
            checks.push(match known.tools {
                Ok(()) => Check::ok(AREA, "tools", format!("{} can call tools", plan.models[0])),
                Err(failure) => failed("tools", failure),
            });
            checks.push(context(subject, plan, known.trained, known.larger));
        }
        Err(failure) => checks.push(failed("model", failure)),
    }
}

fn context(subject: &Subject<'_>, plan: &BackendPlan, trained: Option<u32>, larger: Option<String>) -> Check {
    let Subject { settings, file, .. } = *subject;
    let asked = plan.context;
    if let Err(failure) = plan::enough_trained(settings, &plan.models[0], trained) {
        return Check::failed(AREA, "model context", &mendable(failure, file));
    }
    match trained {
        _ if larger.is_some() => {
            Check::warning(AREA, "model context", format!("{asked} tokens are asked for, and fewer will be granted"))
                .help(larger.unwrap_or_default())
        }
        Some(trained) if trained < asked => {
            Check::warning(AREA, "model context", format!("{asked} tokens are asked for, {trained} is all it can"))
                .help(format!("--context {trained}, or a model that was trained for more"))
                .help(edit(file))
        }
        Some(trained) => Check::ok(AREA, "model context", format!("{asked} tokens asked for, {trained} possible")),
        None => Check::ok(AREA, "model context", format!("{asked} tokens asked for")),
    }
}
