//! Asks which model to use instead of one that isn't installed, before anything is downloaded.

use std::path::Path;

use toml_edit::Value;

use super::asked::Asked;
use crate::{
    backend::{
        InstalledModel, MissingModel, find_near, list_some, refuse_download, registry, usable, usable_of,
        usable_reported,
    },
    base::{
        error::{Code, Failure, Result},
        signals::{Answer, Signals},
        ui,
    },
    config::{Edit, Settings},
    memory::Fit,
    session::plan::Plan,
};

/// The most installed models to choose from: a digit for each.
const MOST: usize = 9;

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
        return match signals.unless_interrupted(usable(settings, environment)).await {
            Some(usable) => instead_of_default(usable, plan, asked, signals).await,
            None => Ok(Some(Instead::Interrupted)),
        };
    }
    // The user has named the model, so `--yes` downloads it.
    if missing.is_empty() || asked.choice.yes {
        return Ok(None);
    }
    let Some(usable) = signals.unless_interrupted(usable_of(kind, settings, environment)).await else {
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
    let usable = usable_reported(plan.backend.kind, &missing.installed, plan.settings());
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
pub(crate) async fn offered(plan: &Plan, missing: &[String]) -> Vec<InstalledModel> {
    if !is_default_missing(plan, missing) {
        return Vec::new();
    }
    let mut usable = usable(plan.settings(), plan.environment()).await;
    usable.truncate(MOST);
    usable
}

/// Lets the user choose among these models and the default.
async fn instead_of_default(
    mut usable: Vec<InstalledModel>,
    plan: &Plan,
    asked: &Asked<'_>,
    signals: &mut Signals,
) -> Result<Option<Instead>> {
    let (settings, environment) = (plan.settings(), plan.environment());
    usable.truncate(MOST);
    let Some(best) = usable.first() else {
        return Ok(None);
    };
    let with = |installed: &InstalledModel| settings.clone().with_model(installed.kind, &installed.model.name);
    if asked.choice.yes {
        ui::message(format_args!("lclaude: using {}, the best installed model", best.model.name));
        return Ok(Some(Instead::Installed(Box::new(with(best)))));
    }
    let download = Download::of(plan);
    if !ui::can_ask() {
        return Err(none_chosen("the session can't ask which one to use", plan, &usable, download.as_ref(), asked));
    }
    let picked = match pick(&usable, download.as_ref(), signals).await {
        Picked::Installed(at) => &usable[at],
        Picked::Download => return Ok(Some(Instead::Download)),
        Picked::Interrupted => return Ok(Some(Instead::Interrupted)),
        Picked::None => return Err(none_chosen("you chose none", plan, &usable, download.as_ref(), asked)),
    };
    if asked.saves && is_savable(settings) {
        let file = asked.choice.config.as_deref().unwrap_or(&environment.places.config_file);
        if save(picked, file, signals).await.is_none() {
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
    usable: &[InstalledModel],
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
    let failure = best.into_iter().fold(failure, Failure::help);
    match download {
        Some(Download { name, size }) => {
            let command = asked.download_command(name, plan.backend.kind, plan);
            failure.help(format!("{command}  # downloads it{size}"))
        }
        None => failure,
    }
}

enum Picked {
    /// The installed model at this index.
    Installed(usize),
    Download,
    None,
    Interrupted,
}

/// Lets the user choose.
async fn pick(usable: &[InstalledModel], download: Option<&Download>, signals: &mut Signals) -> Picked {
    ui::message_lines(format_args!(
        "lclaude: no model is configured; installed models that can call tools:\n{}",
        table(usable, download)
    ));
    let last = usable.len() + usize::from(download.is_some());
    let numbers = if last == 1 { String::new() } else { format!("1-{last}, ") };
    let question = format!("Which one? [{numbers}Enter for 1, q to quit]");
    loop {
        let line = match signals.ask(question.clone()).await {
            Answer::Line(line) => line,
            Answer::End => {
                ui::message("");
                return Picked::None;
            }
            Answer::Interrupted => return Picked::Interrupted,
        };
        match line.parse() {
            _ if line.is_empty() => return Picked::Installed(0),
            Ok(number @ 1..) if number <= usable.len() => return Picked::Installed(number - 1),
            Ok(number @ 1..) if number <= last => return Picked::Download,
            _ if matches!(&*line.to_lowercase(), "q" | "quit" | "n" | "no") => return Picked::None,
            _ => ui::message(format_args!("lclaude: invalid answer {line:?}")),
        }
    }
}

/// Returns the numbered models in columns: name, size, context, memory, and the backend if there are several.
fn table(usable: &[InstalledModel], download: Option<&Download>) -> String {
    let several = usable.iter().any(|installed| installed.kind != usable[0].kind);
    let cells = |installed: &InstalledModel| {
        let model = &installed.model;
        let unknown = || "?".to_owned();
        [
            ui::one_line(&model.name),
            model.size.map_or_else(unknown, ui::format_bytes),
            format!("context {}", model.trained.map_or_else(unknown, |tokens| tokens.to_string())),
            match installed.fits {
                Some(Fit::Yes) => "fits".into(),
                Some(Fit::Tight) => "tight".into(),
                Some(Fit::No) | None => "memory unknown".into(),
            },
            if several { installed.kind.to_string() } else { String::new() },
        ]
    };
    let rows: Vec<[String; 5]> = usable.iter().map(cells).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let line = |(at, row): (usize, &[String; 5])| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("  {}  {}", at + 1, cells.join("  ").trim_end())
    };
    let mut lines: Vec<String> = rows.iter().enumerate().map(line).collect();
    lines.extend(download.map(|Download { name, size }| format!("  {}  download {name}{size}", rows.len() + 1)));
    lines.join("\n")
}

/// Returns whether later sessions would use what is saved in the user's own file now.
fn is_savable(settings: &Settings) -> bool {
    settings.profile.is_none() && settings.project_choice().is_none() && settings.throwaway != Some(true)
}

/// Offers to write the model and its backend to the user's configuration. Returns `None` if a signal arrives.
async fn save(picked: &InstalledModel, file: &Path, signals: &mut Signals) -> Option<()> {
    let wanted = [("backend", picked.kind.to_string()), ("model", picked.model.name.clone())];
    let edit = match Edit::new(file, wanted.map(|(key, value)| (key, Value::from(value)))) {
        Ok(Some(edit)) => edit,
        Ok(None) => return Some(()),
        Err(failure) => {
            ui::message_lines(failure);
            return Some(());
        }
    };
    ui::message_lines(format_args!("{}:\n{edit}", ui::one_line(file.display())));
    let saved = if agrees("Use it from now on? [Y/n]", signals).await? { edit.write() } else { Ok(()) };
    if let Err(failure) = saved {
        // The session can use it nevertheless.
        ui::message_lines(failure);
    }
    Some(())
}

/// Asks a question to which Enter means yes. Returns `None` if a signal arrives.
async fn agrees(question: &str, signals: &mut Signals) -> Option<bool> {
    match signals.ask(question.to_owned()).await {
        Answer::Line(line) => Some(matches!(&*line.to_lowercase(), "" | "y" | "yes")),
        Answer::End => {
            ui::message("");
            Some(false)
        }
        Answer::Interrupted => None,
    }
}

/// Offers an installed model that differs from the missing one only in its owner or tag.
///
/// # Errors
/// `failure`, with the command that uses the installed model as its first help.
async fn offer(
    near: &InstalledModel,
    model: &str,
    can_download: bool,
    mut failure: Failure,
    plan: &Plan,
    asked: &Asked<'_>,
    signals: &mut Signals,
) -> Result<Instead> {
    let (near, backend) = (&near.model.name, registry::backend(plan.backend.kind));
    failure.help.retain(|help| !help.starts_with("did you mean"));
    failure.help.insert(0, asked.command(near, plan.backend.kind, plan));
    if !ui::can_ask() {
        return Err(failure);
    }
    ui::message(format_args!("lclaude: model {model} is not installed in {}", backend.title()));
    let pull = if can_download { format!(", p to pull {model}") } else { String::new() };
    let line = match signals.ask(format!("Use {near}? [Y/n{pull}]")).await {
        Answer::Line(line) => line.to_lowercase(),
        Answer::End => {
            ui::message("");
            return Err(failure);
        }
        Answer::Interrupted => return Ok(Instead::Interrupted),
    };
    match &*line {
        "" | "y" | "yes" => {
            let is_this = |name: &str| name == model || backend.is_same_model(model, name);
            Ok(Instead::Installed(Box::new(plan.settings().clone().with_renamed_model(is_this, near))))
        }
        "p" | "pull" if can_download => Ok(Instead::Download),
        _ => Err(failure),
    }
}
