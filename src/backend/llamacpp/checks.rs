//! Whether `llama-server` and its models can be used, as far as that can be told without starting it.

use std::{path::Path, process::Output};

use super::{model, plan};
use crate::{
    backend::{
        checks,
        diagnosis::diagnose,
        interface::Backend,
        plan::{BackendPlan, Program, Service},
        program,
        subject::{AREA, Subject},
    },
    base::check::{Check, State},
};

pub async fn installation(backend: &dyn Backend, subject: &Subject<'_>, worst: State) -> Vec<Check> {
    let found = plan::program(subject.settings).map_err(|failure| subject.correctable(failure));
    let mut checks = vec![checks::installed("llamacpp program", worst, &found)];
    if let Ok(path) = &found {
        checks.push(version(backend, subject, path).await.no_worse_than(worst));
    }
    checks
}

/// The one server whose releases have no lowest number worth knowing: what matters is that it runs here.
async fn version(backend: &dyn Backend, subject: &Subject<'_>, path: &Path) -> Check {
    let name = "llamacpp version";
    let not_running = |how: &str| checks::not_running(name, path, how, backend.install_hint());
    let output = match program::ask(path, "--version").await {
        Ok(Some(output)) => output,
        Ok(None) => return not_running("no answer in time"),
        Err(error) => return not_running(&error.to_string()),
    };
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    let lines: Vec<String> = said.lines().map(str::to_owned).collect();
    if !output.status.success() {
        let bare = || BackendPlan {
            kind: backend.kind(),
            service: Service::Program(Program::new(path.to_owned())),
            models: Vec::new(),
            origin: "the model".into(),
            context: subject.settings.context(),
        };
        let plan = backend.plan(subject.settings, subject.environment).unwrap_or_else(|_| bare());
        let cause = diagnose(Some(output.status), &lines);
        let failure = backend.start_failure(cause, &plan, Some(output.status), lines);
        return Check::failed(AREA, name, &failure.help(backend.install_hint()));
    }
    // Its own help says what no number would: releases from forks and packages count differently.
    let help = program::ask(path, "--help").await.ok().flatten();
    let knows = |help: Output| String::from_utf8_lossy(&help.stdout).contains(plan::NEWEST_OPTION);
    if !help.is_some_and(knows) {
        return Check::failure(AREA, name, format!("{} is too old", path.display()))
            .why(format!("it does not know {}, with which its port is kept from others", plan::NEWEST_OPTION))
            .help(backend.install_hint());
    }
    let version = lines.iter().find_map(|line| line.strip_prefix("version: "));
    Check::ok(AREA, name, version.unwrap_or("it does not tell"))
}

pub async fn models(backend: &dyn Backend, subject: &Subject<'_>, plan: &BackendPlan) -> Vec<Check> {
    let downloads = model::to_be_downloaded(&plan.models, subject.environment);
    let is_untrusted = subject.settings.untrusted_choice().is_some();
    let mut unwanted = downloads.clone();
    unwanted.retain(|model| is_untrusted || !backend.is_download_wanted(subject.settings, model));
    let check = subject.refused(&unwanted).unwrap_or_else(|| match (unwanted.first(), &downloads[..]) {
        (Some(model), _) if subject.yes => Check::ok(AREA, "model", format!("{model} will be downloaded")),
        (Some(_), _) => subject.failed("model", model::none_chosen()),
        (None, []) => checks::found(plan, ""),
        (None, names) => {
            let names = names.join(" and ");
            Check::ok(AREA, "model", format!("{names} is not here yet; the first session downloads it"))
        }
    });
    let mut all = vec![check];
    all.extend(checks::on_disk(backend, subject, plan).await);
    all
}
