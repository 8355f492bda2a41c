//! `lclaude local use`: makes a model the default, with the backend that has it.

use std::path::Path;

use toml_edit::Value;

use crate::{
    backend::{self, Backend, Installed, list_usable},
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        question, ui, wait,
    },
    cli::{Choice, Selection, UseArguments},
    config::{
        self, Edit, Kind, Overrides, Project, Settings, Source, url_kind,
        values::{self, Setting},
    },
    launch,
    local::config::overruled as overruling_note,
    session::served_model,
};

/// The model to use.
struct Chosen {
    kind: Kind,
    /// The name to configure.
    name: String,
    is_installed: bool,
}

pub(crate) fn run(arguments: UseArguments) -> Result<u8> {
    let UseArguments { name, choice: selection } = arguments;
    let environment = Environment::read()?;
    launch::start_log_and_warn(&environment);
    let choice = &selection.choice;
    if let Some(profile) = &choice.profile {
        return Err(Failure::new(Code::Usage, "--profile can't be used with `lclaude local use`")
            .cause("it sets the model that is used without a profile")
            .help(format!("lclaude local config set profiles.{profile}.model NAME")));
    }
    let file = choice.config.clone().unwrap_or_else(|| environment.places.config_file.clone());
    let load = |overrides: &Overrides| config::load(&file, false, None, overrides, &environment);
    let settings = load(&choice.overrides(None))?;
    let chosen = match name.as_ref().or(selection.model.as_ref()) {
        Some(name) => find(name, &selection, settings, &environment)?,
        None if is_server_typed(choice) => served(&selection, settings, &environment)?,
        None => ask(&selection, &settings, &environment)?,
    };
    let overrides =
        Overrides { backend: Some(chosen.kind), model: Some(chosen.name.clone()), ..choice.overrides(None) };
    let settings = load(&overrides)?;
    // Reports all that a session would.
    backend::plan(&settings, &environment)?;
    let edit = edit(&chosen, &selection, &settings, &file, &environment)?;
    if edit.is_empty() {
        ui::message(format_args!("lclaude: {} already has these settings", file.display()));
    } else {
        edit.write()?;
        ui::print(&format!("{}:\n{edit}\n", ui::one_line(file.display())));
    }
    if !chosen.is_installed {
        ui::message(format_args!(
            "lclaude: warning: {} is not on this machine yet; to download it: lclaude local setup",
            chosen.name
        ));
    }
    let project = Project::find(&environment)?;
    match launch::load_settings(choice, &Overrides::default(), project.as_ref(), &environment) {
        Ok(settings) => {
            for note in overruled(&settings, choice, &file) {
                ui::message(format_args!("lclaude: {note}"));
            }
        }
        Err(failure) => {
            let help = failure.help.first().map(|help| format!("; help: {help}")).unwrap_or_default();
            ui::message(format_args!("lclaude: warning: a session here fails: {}{help}", failure.what));
        }
    }
    Ok(0)
}

/// Returns the change of the user's file.
fn edit(
    chosen: &Chosen,
    selection: &Selection,
    settings: &Settings,
    file: &Path,
    environment: &Environment,
) -> Result<Edit> {
    let Chosen { kind, name, .. } = chosen;
    let model = match backend::registry::backend(*kind).claims_model(name) {
        // A relative path in the file would be resolved against another directory.
        true => environment.with_tilde(&settings.model_path("model", name, environment)),
        false => name.clone(),
    };
    let write = |_| backend::url_to_write(settings, "lclaude local config set endpoint.url");
    let url = selection.choice.url.as_ref().map(write).transpose()?;
    let wanted = [
        ("backend", Some(Value::from(kind.to_string()))),
        ("model", Some(model.into())),
        ("context", selection.choice.context.map(|tokens| i64::from(tokens).into())),
        ("endpoint.url", url.map(Value::from)),
    ];
    let wanted = wanted.into_iter().filter(|(_, value)| value.is_some());
    let overriding = backend::keys_over_model(*kind, settings, file).map(|key| (key, None));
    Edit::of(file, &config::read_text(file, false)?, wanted.chain(overriding))
}

/// Returns what keeps the new defaults from being used here.
fn overruled(settings: &Settings, choice: &Choice, file: &Path) -> Vec<String> {
    let decides = |setting: &Setting| match setting.key.as_str() {
        "backend" | "model" => true,
        "context" => choice.context.is_some(),
        "endpoint.url" => choice.url.is_some(),
        _ => is_tier(setting),
    };
    let stays = |setting: &Setting| {
        let Setting { key, source, .. } = setting;
        let is_own = *source == Source::File(file.to_owned()) && is_tier(setting);
        let sets = || format!("{source} still sets {key} = {}", setting.shown());
        is_own.then(|| format!("{}; to remove it: lclaude local config unset {key}", sets()))
    };
    let settings = values::effective(settings).into_iter().filter(decides);
    settings.filter_map(|setting| overruling_note(&setting, file).or_else(|| stays(&setting))).collect()
}

/// Returns whether a setting is the model of one of Claude Code's tiers.
fn is_tier(setting: &Setting) -> bool {
    setting.key.starts_with("models.")
}

/// Returns the command that makes `name` the default.
fn line(selection: &Selection, name: &str) -> String {
    let options = Selection { model: None, ..selection.clone() }.line("use");
    format!("{options} {}", ui::quote_command(std::iter::once(name.to_owned())))
}

/// Finds the backend that has a model.
///
/// # Errors
/// `Unavailable` if none has it, `Usage` if several have it.
fn find(name: &str, selection: &Selection, mut settings: Settings, environment: &Environment) -> Result<Chosen> {
    // The configured model must not be listed as an installed one.
    settings.model = None;
    let choice = &selection.choice;
    let only = settings.backend.filter(|_| choice.backend.is_some() || choice.url.is_some());
    let claiming = backend::only_kind(name);
    if let (Some(only), Some(kind)) = (only, claiming)
        && backend::registry::backend(kind).claims_model(name)
        && only != kind
    {
        return Err(Failure::new(Code::Usage, format!("{only} can't run {name}"))
            .cause(format!("only {kind} runs a file"))
            .help(line(&without_backend(selection), name)));
    }
    if let Some(kind) = claiming.filter(|kind| backend::registry::backend(*kind).claims_model(name)) {
        return Ok(Chosen { kind, name: name.to_owned(), is_installed: true });
    }
    let is_listed = |backend: &dyn Backend| only.is_none_or(|only| only == backend.kind());
    let installed = wait::event_loop()?.block_on(Installed::list(&settings, environment, is_listed, only));
    let owners = installed.owners(name);
    let configured = settings.backend;
    let owner = match &owners[..] {
        [] => None,
        [owner] => Some(owner),
        // What is configured stays.
        several => Some(several.iter().find(|(kind, _)| Some(*kind) == configured).ok_or_else(|| {
            let kinds: Vec<String> = several.iter().map(|(kind, _)| kind.to_string()).collect();
            let failure = Failure::new(Code::Usage, format!("several backends have {name}")).cause(kinds.join(", "));
            several.iter().fold(failure, |failure, (kind, name)| {
                let mut selection = selection.clone();
                selection.choice.backend = Some(*kind);
                failure.help(line(&selection, name))
            })
        })?),
    };
    if let Some((kind, name)) = owner {
        if let Some(why) = installed.why_unusable(*kind, name, &settings).filter(|_| !choice.yes) {
            return Err(Failure::new(Code::Unavailable, format!("a session can't use {name}"))
                .cause(why)
                .help("lclaude local use  # choose another one")
                .help(format!("{} --yes  # makes it the default as it is", line(selection, name))));
        }
        return Ok(Chosen { kind: *kind, name: (*name).to_owned(), is_installed: true });
    }
    let chosen = |kind, is_installed| Ok(Chosen { kind, name: name.to_owned(), is_installed });
    match (only, claiming) {
        // Only the running server knows its models.
        (Some(only), _) if only.loads_any_name() => chosen(only, true),
        (None, Some(kind)) => chosen(kind, false),
        (Some(only), Some(kind)) if only == kind => chosen(kind, false),
        _ if choice.yes => {
            settings.model = Some(name.to_owned());
            chosen(backend::choose(&settings, environment)?.0, false)
        }
        _ => Err(not_installed(name, selection, installed, only)),
    }
}

fn without_backend(selection: &Selection) -> Selection {
    let mut selection = selection.clone();
    selection.choice.backend = None;
    selection.choice.url = None;
    selection
}

fn not_installed(name: &str, selection: &Selection, mut installed: Installed, only: Option<Kind>) -> Failure {
    if only.is_some() && !installed.failures.is_empty() {
        let failure = installed.failures.swap_remove(0).1;
        return match failure.code {
            Code::Unavailable => failure.help(format!("{} --yes  # doesn't ask it", line(selection, name))),
            _ => failure,
        };
    }
    let unasked = installed.failures.iter().map(|(kind, failure)| format!("; {kind}: {}", failure.what));
    let failure = Failure::new(Code::Unavailable, format!("model {name} is not installed")).cause(format!(
        "{}{}",
        installed.describe(),
        unasked.collect::<String>()
    ));
    let failure = match installed.nearest(name) {
        Some(near) => failure.help(line(selection, near)),
        None => failure,
    };
    let setup = Selection { model: Some(name.to_owned()), ..selection.clone() }.line("setup");
    failure
        .help(format!("{setup}  # downloads it and makes it the default"))
        .help(format!("{} --yes  # makes it the default as it is", line(selection, name)))
}

/// Returns whether the options choose a server that somebody else runs.
fn is_server_typed(choice: &Choice) -> bool {
    choice.url.is_some() || choice.backend == Some(url_kind())
}

/// Returns the model that the chosen server serves.
fn served(selection: &Selection, mut settings: Settings, environment: &Environment) -> Result<Chosen> {
    // A configured model is no reason not to ask.
    settings.model = None;
    settings.models.clear();
    let command = |model: &str| line(selection, model);
    let settings = wait::event_loop()?.block_on(served_model::choose(settings, environment, true, command))?;
    let name = settings.model.ok_or_else(|| Failure::new(Code::Config, "no model is configured"))?;
    Ok(Chosen { kind: url_kind(), name, is_installed: true })
}

/// Asks which of the installed models to use.
///
/// # Errors
/// `Usage` without a terminal or an answer, `Unavailable` if no model is installed.
fn ask(selection: &Selection, settings: &Settings, environment: &Environment) -> Result<Chosen> {
    let only = settings.backend.filter(|_| selection.choice.backend.is_some());
    let models = wait::event_loop()?.block_on(list_usable(only, settings, environment));
    let Some(best) = models.first() else {
        return Err(Failure::new(Code::Unavailable, "no models found")
            .cause("no model is installed that can call tools and fits in memory")
            .help("lclaude local use FILE.gguf")
            .help("lclaude local models  # lists all models")
            .help("lclaude local setup  # asks, then downloads one"));
    };
    let unanswered = || {
        Failure::new(Code::Usage, "no model is given")
            .cause("lclaude local use makes a model the default")
            .help(line(selection, &best.model.name))
            .help("lclaude local models  # lists all models")
    };
    if !ui::can_ask() {
        return Err(unanswered());
    }
    let all = selection.choice.line(&["lclaude", "local", "models"], None);
    question::list("installed models that can call tools:", &launch::entries(&models), &all);
    let picked = &models[question::pick(models.len()).ok_or_else(unanswered)?];
    Ok(Chosen { kind: picked.kind, name: picked.model.name.clone(), is_installed: true })
}
