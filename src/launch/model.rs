//! Asks which model to use instead of one that isn't installed, before anything is downloaded.

use std::path::Path;

use toml_edit::Value;

use super::asked::Asked;
use crate::{
    backend::{
        BackendModel, MissingModel, find_near, list_some, list_usable, rank_reported, refuse_download, registry,
    },
    base::{
        error::{Code, Failure, Result},
        question::{self, Enter, is_yes},
        signals::{Answer, Signals},
        ui,
    },
    config::{self, Edit, Settings, Source},
    memory::Fit,
    session::plan::Plan,
};

/// Longest name in the list of models, in characters.
const MAX_NAME: usize = 60;

/// What to use instead of a missing model.
pub(crate) enum Instead {
    /// An installed model: the settings with it.
    Installed(Box<Settings>),
    /// The missing model itself, which the user wants to download.
    Download,
    /// A signal arrived.
    Interrupted,
}

/// Returns what to use instead of the plan's missing models, or `None` if nothing similar is installed.
///
/// # Errors
/// `Unavailable` or `Refused` if the user can't be asked or declines, with the command that uses an installed model.
pub(crate) async fn instead(
    plan: &Plan,
    missing: &[String],
    asked: &Asked<'_>,
    signals: &mut Signals,
) -> Result<Option<Instead>> {
    let (settings, environment, kind) = (plan.settings(), plan.environment(), plan.backend.kind);
    if is_default_missing(plan, missing) {
        return match signals.unless_interrupted(list_usable(settings.backend, settings, environment)).await {
            Some(usable) => instead_of_default(usable, plan, asked, signals).await,
            None => Ok(Some(Instead::Interrupted)),
        };
    }
    // The user has named the model, so `--yes` downloads it.
    if missing.is_empty() || asked.choice.yes {
        return Ok(None);
    }
    let Some(usable) = signals.unless_interrupted(list_usable(Some(kind), settings, environment)).await else {
        return Ok(Some(Instead::Interrupted));
    };
    let near = missing.iter().find_map(|model| Some((model, find_near(model, &usable)?)));
    let Some((model, near)) = near else {
        return Ok(None);
    };
    // It may be on this machine, but out of the backend's reach.
    match signals.unless_interrupted(plan.out_of_reach(model)).await {
        None => return Ok(Some(Instead::Interrupted)),
        Some(Some(failure)) => return Err(failure),
        Some(None) => {}
    }
    let failure = refuse_download(plan.untrusted(), model).err().or_else(|| plan.not_installed(model));
    let failure = failure.unwrap_or_else(|| Failure::new(Code::Unavailable, format!("model {model} is not installed")));
    offer(near, model, plan.untrusted().is_none(), failure, plan, asked, signals).await.map(Some)
}

/// Like [`instead`], for a model that a running server reports as missing.
pub(crate) async fn instead_of_reported(
    plan: &Plan,
    missing: &MissingModel,
    asked: &Asked<'_>,
    signals: &mut Signals,
) -> Result<Option<Instead>> {
    let model = &missing.model;
    let usable = rank_reported(plan.backend.kind, &missing.installed, plan.settings());
    if is_default_missing(plan, std::slice::from_ref(model)) {
        return instead_of_default(usable, plan, asked, signals).await;
    }
    let Some(near) = find_near(model, &usable).filter(|_| !asked.choice.yes) else {
        return Ok(None);
    };
    let refused = refuse_download(plan.untrusted(), model).err();
    let can_download = missing.can_download && refused.is_none();
    let failure = refused.unwrap_or_else(|| missing.failure.clone());
    offer(near, model, can_download, failure, plan, asked, signals).await.map(Some)
}

/// Returns whether no model is configured, so that the plan has the default model.
pub(crate) fn is_default(plan: &Plan) -> bool {
    let (settings, backend) = (plan.settings(), registry::backend(plan.backend.kind));
    settings.model.is_none() && !backend.names_main_model(settings)
}

/// Returns whether no model is configured, and the default model is missing.
pub(crate) fn is_default_missing(plan: &Plan, missing: &[String]) -> bool {
    let backend = registry::backend(plan.backend.kind);
    let is_missing = |main: &String| missing.iter().any(|name| name == main || backend.is_same_model(main, name));
    is_default(plan) && plan.backend.models.first().is_some_and(is_missing)
}

/// Returns the models that a session would offer instead of the default model, the best first. There are none if that is
/// installed, or another is configured.
pub(crate) async fn offered(plan: &Plan, missing: &[String]) -> Vec<BackendModel> {
    if !is_default_missing(plan, missing) {
        return Vec::new();
    }
    list_usable(plan.settings().backend, plan.settings(), plan.environment()).await
}

/// Lets the user choose among these models and the default.
async fn instead_of_default(
    usable: Vec<BackendModel>,
    plan: &Plan,
    asked: &Asked<'_>,
    signals: &mut Signals,
) -> Result<Option<Instead>> {
    let (settings, environment) = (plan.settings(), plan.environment());
    let Some(best) = usable.first() else {
        return Ok(None);
    };
    let with = |installed: &BackendModel| settings.clone().with_picked_model(installed.kind, &installed.model.name);
    if asked.choice.yes {
        ui::message(format_args!("lclaude: using {}, the best installed model", best.model.name));
        return Ok(Some(Instead::Installed(Box::new(with(best)))));
    }
    let download = Download::of(plan);
    if !ui::can_ask() {
        return Err(none_chosen("the session can't ask which one to use", plan, &usable, download.as_ref(), asked));
    }
    let mut entries = entries(&usable);
    entries.extend(download.as_ref().map(|Download { name, size }| format!("download {name}{size}")));
    let all = asked.choice.line(&["lclaude", "local", "models"], None);
    question::list("no model is configured; installed models that can call tools:", &entries, &all);
    let picked = match signals.pick(entries.len()).await {
        None => return Ok(Some(Instead::Interrupted)),
        Some(None) => return Err(none_chosen("you chose none", plan, &usable, download.as_ref(), asked)),
        Some(Some(at)) => match usable.get(at) {
            Some(picked) => picked,
            None => return Ok(Some(Instead::Download)),
        },
    };
    if asked.saves && is_savable(settings) {
        let file = asked.choice.config.as_deref().unwrap_or(&environment.places.config_file);
        if save(picked, plan, file, signals).await.is_none() {
            return Ok(Some(Instead::Interrupted));
        }
    }
    Ok(Some(Instead::Installed(Box::new(with(picked)))))
}

/// The default model, which can be downloaded.
struct Download {
    name: &'static str,
    /// Such as ` (18.5 GB)`; empty if it is unknown.
    size: String,
}

impl Download {
    /// Returns the plan's default model, unless it doesn't fit or an untrusted project file selects it.
    fn of(plan: &Plan) -> Option<Self> {
        let name = registry::backend(plan.backend.kind).default_model()?;
        if plan.untrusted().is_some() || plan.check_memory().is_err() {
            return None;
        }
        // All models together, so one of several isn't known.
        let size = plan.inspect_models().weights.filter(|_| plan.backend.models.len() == 1);
        Some(Download { name, size: size.map(|size| format!(" ({})", ui::format_bytes(size))).unwrap_or_default() })
    }
}

/// Returns the failure if the user can't or doesn't choose a model.
fn none_chosen(
    why: &str,
    plan: &Plan,
    usable: &[BackendModel],
    download: Option<&Download>,
    asked: &Asked<'_>,
) -> Failure {
    let default = registry::backend(plan.backend.kind).default_model().unwrap_or_default();
    let names: Vec<&str> = usable.iter().map(|installed| installed.model.name.as_str()).collect();
    let failure = Failure::new(Code::Unavailable, "no model is configured").cause(format!(
        "the default model, {default}, is not installed; installed models that can call tools: {}; {why}",
        list_some(&names)
    ));
    let best = usable.first().map(|best| asked.command(&best.model.name, best.kind, plan));
    let failure = failure.helps(best);
    match download {
        Some(Download { name, size }) => {
            let command = asked.download_command(name, plan.backend.kind, plan);
            failure.help(format!("{command}  # downloads it{size}"))
        }
        None => failure,
    }
}

/// Returns models in columns: name, size, context, memory, and the backend if there are several.
pub(crate) fn entries(models: &[BackendModel]) -> Vec<String> {
    let several = models.iter().any(|listed| listed.kind != models[0].kind);
    let cells = |listed: &BackendModel| {
        let model = &listed.model;
        let unknown = || "?".to_owned();
        [
            ui::one_line(ui::shorten(&model.name, MAX_NAME)),
            model.size.map_or_else(unknown, ui::format_bytes),
            format!("context {}", model.trained.map_or_else(unknown, |tokens| tokens.to_string())),
            match listed.fits {
                Some(Fit::Yes) => "fits".into(),
                Some(Fit::Tight) => "tight".into(),
                Some(Fit::No) | None => "memory unknown".into(),
            },
            if several { listed.kind.to_string() } else { String::new() },
        ]
    };
    let rows: Vec<[String; 5]> = models.iter().map(cells).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let line = |row: &[String; 5]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Returns whether later sessions would use what is saved in the user's own file now.
fn is_savable(settings: &Settings) -> bool {
    settings.profile.is_none() && settings.project_choice().is_none() && settings.throwaway != Some(true)
}

/// Offers to write the model and its backend to the user's configuration. Returns `None` if a signal arrives.
async fn save(picked: &BackendModel, plan: &Plan, file: &Path, signals: &mut Signals) -> Option<()> {
    let wanted = [("backend", picked.kind.to_string()), ("model", picked.model.name.clone())];
    let wanted = wanted.map(|(key, value)| (key, Some(Value::from(value))));
    // Another backend may not have the models of the tiers.
    let settings = plan.settings();
    let is_replaced =
        |key: &&str| picked.kind != plan.backend.kind && settings.source(key) == Source::File(file.to_owned());
    let replaced = settings.tier_models().map(|(key, _)| key).filter(is_replaced).map(|key| (key, None));
    let edit =
        config::read_text(file, false).and_then(|text| Edit::of(file, &text, wanted.into_iter().chain(replaced)));
    let edit = match edit {
        Ok(edit) if edit.is_empty() => return Some(()),
        Ok(edit) => edit,
        Err(failure) => {
            ui::message_lines(failure);
            return Some(());
        }
    };
    ui::message_lines(format_args!("{}:\n{edit}", ui::one_line(file.display())));
    let saved = if signals.agrees("Use it from now on?".into(), Enter::Yes).await? { edit.write() } else { Ok(()) };
    if let Err(failure) = saved {
        // The session can use it nevertheless.
        ui::message_lines(failure);
    }
    Some(())
}

/// Offers an installed model that differs from the missing one only in its owner or tag.
///
/// # Errors
/// `failure`, with the command that uses the installed model as its first help.
async fn offer(
    near: &BackendModel,
    model: &str,
    can_download: bool,
    mut failure: Failure,
    plan: &Plan,
    asked: &Asked<'_>,
    signals: &mut Signals,
) -> Result<Instead> {
    let (near, backend) = (&near.model.name, registry::backend(plan.backend.kind));
    failure.help.retain(|help| !help.ends_with(near.as_str()));
    failure.help.insert(0, asked.command(near, plan.backend.kind, plan));
    if !ui::can_ask() {
        return Err(failure);
    }
    ui::message(format_args!("lclaude: model {model} is not installed in {}", backend.title()));
    let pull = if can_download { format!(", p to pull {model}") } else { String::new() };
    let answer = match signals.ask(format!("Use {near}? [Y/n{pull}]")).await {
        Answer::Line(line) => line,
        Answer::End => return Err(failure),
        Answer::Interrupted => return Ok(Instead::Interrupted),
    };
    if can_download && matches!(&*answer.to_lowercase(), "p" | "pull") {
        return Ok(Instead::Download);
    }
    if !is_yes(Some(&answer), Enter::Yes) {
        return Err(failure);
    }
    let is_this = |name: &str| name == model || backend.is_same_model(model, name);
    Ok(Instead::Installed(Box::new(plan.settings().clone().with_renamed_model(is_this, near))))
}
