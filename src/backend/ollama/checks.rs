//! Doctor's checks of Ollama and its models, which start nothing.

use super::{
    look, models,
    plan::{self, install_hint},
    server::check_release,
    service,
    start::larger_in_shared,
    windows,
};
use crate::{
    backend::{
        checks,
        context::minimum_clause,
        diagnosis::describe_status,
        interface::Backend,
        plan::{BackendPlan, Service},
        program,
        served::Served,
        subject::{AREA, Subject},
    },
    base::{
        check::{Check, Severity},
        context::MIN_CONTEXT,
    },
    config::OllamaInstance,
};

/// Returns the checks of the program, its version, the user's own server and the installed models.
pub(crate) async fn installation(subject: &Subject<'_>, worst: Severity) -> Vec<Check> {
    let Subject { settings, environment, .. } = *subject;
    let is_shared = settings.ollama.instance == OllamaInstance::Shared;
    let found = plan::program(settings, subject.environment.home()).map_err(|failure| subject.with_edit_help(failure));
    // The shared instance needs no program.
    let mut all = vec![checks::installed("ollama program", if is_shared { Severity::Ok } else { worst }, &found)];
    if let Ok(path) = &found {
        let name = "ollama version";
        let does_not_run = |how: &str| checks::does_not_run(name, path, how, install_hint());
        let check = match program::run(path, &["--version"]).await {
            Ok(Some(output)) if output.status.success() => {
                let version = program::version(&output).unwrap_or_else(|| "0.0.0".into());
                Check::of(AREA, name, check_release(&version), |()| version.clone())
            }
            Ok(Some(output)) => does_not_run(&describe_status(Some(output.status))),
            Ok(None) => does_not_run("no answer in time"),
            Err(error) => checks::not_started(name, path, &error, install_hint()),
        };
        all.push(check.no_worse_than(worst));
    }
    let (url, there) = look::own_server(settings, &environment.variables).await;
    let is_needed = worst != Severity::Ok && (is_shared || found.is_err());
    let needed = if is_shared { worst } else { Severity::Ok };
    let uses_server = is_shared && there.is_ok();
    let there = there.map_err(|failure| subject.with_edit_help(failure));
    let server = Check::of(AREA, "ollama server", there, |()| format!("running at {url}"));
    all.push(match needed {
        Severity::Ok if server.state != Severity::Ok => {
            Check::ok(AREA, "ollama server", format!("not running at {url}"))
        }
        _ => server,
    });
    all.extend(windows::check(subject, is_needed).await);
    let models = match uses_server {
        true => look::installed(&url).await,
        false => models::installed(settings, environment),
    };
    let mut found = if models.is_empty() { "none installed".into() } else { models.join(", ") };
    if let Some(barrier) = service::unreadable() {
        found.push_str(&format!("; your user can't read {}", barrier.path.display()));
    }
    all.push(Check::ok(AREA, "ollama models", found));
    all
}

/// Returns the checks of the plan's models.
pub(crate) async fn models(backend: &dyn Backend, subject: &Subject<'_>, plan: &BackendPlan) -> Vec<Check> {
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
        None if missing.is_empty() || subject.yes => all.push(checks::models_found(plan, "")),
        None => {}
    }
    all.extend(ask(subject, url, plan).await);
    all
}

async fn of_private(backend: &dyn Backend, subject: &Subject<'_>, plan: &BackendPlan) -> Vec<Check> {
    let Subject { settings, environment, yes, .. } = *subject;
    let missing = models::missing(plan, environment);
    let failure = match missing.first() {
        Some(model) => {
            let elsewhere = models::out_of_reach(settings, plan, model, environment).await;
            elsewhere.or_else(|| models::not_installed(plan, model, environment))
        }
        None => None,
    };
    let is_there = failure.is_none();
    let mut all = vec![subject.refused(&missing).unwrap_or_else(|| match failure {
        Some(failure) if !yes => subject.failed("model", failure),
        Some(_) => Check::ok(AREA, "model", format!("{} will be downloaded", missing.join(", "))),
        None => checks::models_found(plan, ""),
    })];
    // The user's own server can already tell what a private one will find out.
    match look::own_server(settings, &environment.variables).await {
        (url, Ok(())) if is_there && models::missing_at(&url, plan).await.is_empty() => {
            all.extend(ask(subject, &url, plan).await);
        }
        _ => all.extend(checks::model_file(backend, subject, plan).await),
    }
    all
}

/// Returns the checks of what the server at `url` says about the models.
async fn ask(subject: &Subject<'_>, url: &str, plan: &BackendPlan) -> Vec<Check> {
    if models::in_cloud(plan).is_some() {
        return vec![Check::warning(AREA, "tools", "the model runs on Ollama's servers, so your code is sent there")];
    }
    let mut served = Served::new();
    let mut loaded = Vec::new();
    for model in &plan.models {
        let known = match look::report(url, model, plan.context).await {
            Ok(known) => known,
            Err(failure) => return vec![subject.failed("model", failure)],
        };
        if let Err(failure) = known.tools {
            return vec![subject.failed("tools", failure)];
        }
        if known.fixed.is_none() {
            loaded.push((model, known.loaded));
        }
        served.expect(plan, model, known.trained, known.fixed);
    }
    let mut all = vec![
        Check::ok(AREA, "tools", format!("{} can call tools", plan.models.join(" and "))),
        checks::context(subject, plan, &served),
    ];
    if matches!(plan.service, Service::Running(_)) && !loaded.is_empty() {
        all.push(granted(plan, &loaded));
    }
    all
}

/// Returns the check of the context that a shared server grants, which only its loaded models tell. Its setting can't
/// be asked for, and another client may have loaded a model with a context of its own.
fn granted(plan: &BackendPlan, loaded: &[(&String, Option<u32>)]) -> Check {
    let name = "server context";
    let smallest = loaded.iter().filter_map(|(model, tokens)| Some((*tokens.as_ref()?, model))).min();
    match smallest {
        None => Check::ok(AREA, name, "unknown until the model is loaded (check it with --live)"),
        Some((tokens, model)) if tokens < plan.context => {
            let found = format!("{model} is loaded with a context of {tokens} tokens, {} requested", plan.context);
            let check = Check::warning(AREA, name, found).help(larger_in_shared(model, plan.context));
            if tokens < MIN_CONTEXT { check.cause(minimum_clause()) } else { check }
        }
        Some((tokens, model)) => Check::ok(AREA, name, format!("{model} is loaded with {tokens} tokens")),
    }
}
