//! Doctor's checks of `llama-server` and its models, which start nothing.

use std::{path::Path, process::Output};

use super::{model, plan, program};
use crate::{
    backend::{
        checks,
        diagnosis::diagnose,
        interface::Backend,
        plan::{BackendPlan, Service},
        program::run,
        subject::{AREA, Subject},
    },
    base::check::{Check, Severity},
};

/// Returns the checks of the program and its version.
pub(crate) async fn installation(backend: &dyn Backend, subject: &Subject<'_>, worst: Severity) -> Vec<Check> {
    let found = program::find(subject.settings).map_err(|failure| subject.with_edit_help(failure));
    let mut checks = vec![checks::installed("llamacpp program", worst, &found)];
    if let Ok(path) = &found {
        checks.push(version(backend, subject, path).await.no_worse_than(worst));
    }
    checks
}

/// Returns the check that the program runs on this machine and has every option that lclaude uses.
async fn version(backend: &dyn Backend, subject: &Subject<'_>, path: &Path) -> Check {
    let name = "llamacpp version";
    let does_not_run = |how: &str| checks::does_not_run(name, path, how, backend.install_hint());
    let output = match run(path, &["--version"]).await {
        Ok(Some(output)) => output,
        Ok(None) => return does_not_run("no answer in time"),
        Err(error) => return checks::not_started(name, path, &error, backend.install_hint()),
    };
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if !output.status.success() {
        let bare = || BackendPlan {
            kind: backend.kind(),
            service: Service::Program(program::new(path.to_owned())),
            models: Vec::new(),
            origin: "the model".into(),
            context: subject.settings.context(),
        };
        let plan = backend.plan(subject.settings, subject.environment).unwrap_or_else(|_| bare());
        let log = lines.iter().collect();
        let cause = diagnose(Some(output.status), &log);
        let failure = backend.start_failure(cause, &plan, Some(output.status), log);
        return Check::failed(AREA, name, &failure.help(backend.install_hint()));
    }
    // Forks and packages number their releases differently, so `--help` is checked instead of a minimum version.
    let help = program::help(path).await;
    let knows = |help: Output| String::from_utf8_lossy(&help.stdout).contains(plan::NEWEST_OPTION);
    if !help.is_some_and(knows) {
        return Check::failure(AREA, name, format!("{} is too old", path.display()))
            .cause(format!("it does not have {}, which protects its port from other programs", plan::NEWEST_OPTION))
            .help(backend.install_hint());
    }
    let version = lines.iter().find_map(|line| line.strip_prefix("version: "));
    Check::ok(AREA, name, version.unwrap_or("unknown"))
}

/// Returns the checks of the plan's models.
pub(crate) async fn models(backend: &dyn Backend, subject: &Subject<'_>, plan: &BackendPlan) -> Vec<Check> {
    let downloads = model::to_be_downloaded(&plan.models, subject.environment);
    let is_untrusted = subject.settings.untrusted_choice().is_some();
    let mut unwanted = downloads.clone();
    unwanted.retain(|model| is_untrusted || !backend.is_download_wanted(subject.settings, model));
    let check = subject.refused(&unwanted).unwrap_or_else(|| match (unwanted.first(), &downloads[..]) {
        (Some(model), _) if subject.yes => Check::ok(AREA, "model", format!("{model} will be downloaded")),
        (Some(_), _) => subject.failed("model", model::none_chosen()),
        (None, []) => checks::models_found(plan, ""),
        (None, names) => {
            let names = names.join(" and ");
            Check::ok(AREA, "model", format!("{names} will be downloaded by the first session"))
        }
    });
    let mut all = vec![check];
    all.extend(checks::model_file(backend, subject, plan).await);
    all
}
