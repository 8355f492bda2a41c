//! Whether Ollama and its models can be used, as far as that can be told without starting it.

use super::{
    look, models,
    plan::{self, install_hint},
    server::check_release,
};
use crate::{
    backend::{
        checks,
        diagnosis::describe_status,
        interface::Backend,
        plan::{BackendPlan, Service},
        program,
        subject::{AREA, Subject},
    },
    base::check::{Check, State},
    config::Instance,
};

pub async fn installation(subject: &Subject<'_>, worst: State) -> Vec<Check> {
    let Subject { settings, environment, .. } = *subject;
    let is_shared = settings.ollama.instance == Instance::Shared;
    let found = plan::program(settings).map_err(|failure| subject.correctable(failure));
    // A server that runs needs no program of ours.
    let mut all = vec![checks::installed("ollama program", if is_shared { State::Ok } else { worst }, &found)];
    if let Ok(path) = &found {
        let name = "ollama version";
        let not_running = |how: &str| checks::not_running(name, path, how, install_hint());
        let check = match program::ask(path, "--version").await {
            Ok(Some(output)) if output.status.success() => {
                let version = program::version(&output).unwrap_or_else(|| "0.0.0".into());
                Check::of(AREA, name, check_release(&version), |()| version.clone())
            }
            Ok(Some(output)) => not_running(&describe_status(Some(output.status))),
            Ok(None) => not_running("no answer in time"),
            Err(error) => not_running(&error.to_string()),
        };
        all.push(check.no_worse_than(worst));
    }
    let (url, there) = look::own_server(settings, &environment.variables).await;
    let needed = if is_shared { worst } else { State::Ok };
    let there = there.map_err(|failure| subject.correctable(failure));
    let server = Check::of(AREA, "ollama server", there, |()| format!("runs at {url}"));
    all.push(match needed {
        State::Ok if server.state != State::Ok => Check::ok(AREA, "ollama server", format!("none runs at {url}")),
        _ => server,
    });
    let models = models::installed(settings, environment);
    let found = if models.is_empty() { "none on this machine's disk".into() } else { models.join(", ") };
    all.push(Check::ok(AREA, "ollama models", found));
    all
}

pub async fn models(backend: &dyn Backend, subject: &Subject<'_>, plan: &BackendPlan) -> Vec<Check> {
    match &plan.service {
        Service::Running(url) => of_shared(subject, url, plan).await,
        _ => of_private(backend, subject, plan).await,
    }
}

async fn of_shared(subject: &Subject<'_>, url: &str, plan: &BackendPlan) -> Vec<Check> {
    let missing = models::missing_at(url, plan).await;
    let mut all = Vec::new();
    match subject.refused(&missing) {
        Some(refused) => return vec![refused],
        None if missing.is_empty() || subject.yes => all.push(checks::found(plan, "")),
        None => {}
    }
    all.extend(ask(subject, url, plan).await);
    all
}

async fn of_private(backend: &dyn Backend, subject: &Subject<'_>, plan: &BackendPlan) -> Vec<Check> {
    let Subject { settings, environment, yes, .. } = *subject;
    let missing = models::missing(plan, environment);
    let failure = missing.first().and_then(|model| models::not_installed(plan, model, environment));
    let is_there = failure.is_none();
    let mut all = vec![subject.refused(&missing).unwrap_or_else(|| match failure {
        Some(failure) if !yes => subject.failed("model", failure),
        Some(_) => Check::ok(AREA, "model", format!("{} will be pulled", missing.join(", "))),
        None => checks::found(plan, ""),
    })];
    // The user's own server may know what a private one will find out.
    match look::own_server(settings, &environment.variables).await {
        (url, Ok(())) if is_there && models::missing_at(&url, plan).await.is_empty() => {
            all.extend(ask(subject, &url, plan).await);
        }
        _ => all.extend(checks::on_disk(backend, subject, plan).await),
    }
    all
}

async fn ask(subject: &Subject<'_>, url: &str, plan: &BackendPlan) -> Vec<Check> {
    if models::in_cloud(plan).is_some() {
        return vec![Check::warning(AREA, "tools", "it runs on Ollama's servers, and your code goes there")];
    }
    match look::known(url, &plan.models[0], plan.context).await {
        Ok(known) => vec![
            match known.tools {
                Ok(()) => Check::ok(AREA, "tools", format!("{} can call tools", plan.models[0])),
                Err(failure) => subject.failed("tools", failure),
            },
            checks::context(subject, plan, known.trained, known.larger),
        ],
        Err(failure) => vec![subject.failed("model", failure)],
    }
}
