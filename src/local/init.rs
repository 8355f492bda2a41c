//! `lclaude local init`: writes the project's `.lclaude.toml` from options or answers. Other settings in an existing
//! file are kept.

use std::{
    fs::Permissions,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use toml_edit::{DocumentMut, Item, Key};

use crate::{
    backend::{self, registry, subject::edit_command},
    base::{
        disk,
        environment::Environment,
        error::{Code, Failure, Result},
        question::{self, Enter},
        ui,
    },
    claude::arguments,
    cli::{InitArguments, Selection},
    config::{
        Kind, Overrides, Project, Settings, parse_context,
        project::{self, FILE_NAME, invalid_name_reason},
        render, server_url, set_value,
        trust::TrustList,
        url_kind,
    },
    launch,
};

/// The answer that leaves a setting out.
const NONE: &str = "none";

pub(crate) fn run(mut arguments: InitArguments) -> Result<u8> {
    let environment = Environment::read()?;
    let directory = project::root(&environment)?.ok_or_else(|| {
        Failure::new(Code::Usage, "the home directory is not a project")
            .cause(format!("lclaude does not read a {FILE_NAME} here"))
            .help(edit_command(&environment.places.config_file))
    })?;
    let path = directory.join(FILE_NAME);
    let existing = Project::read(path.clone(), &TrustList::new(&environment.places.state))?;
    if let Some(project) = &existing {
        // Reports errors in the file.
        project.asks()?;
    }
    let text = existing.as_ref().map_or("", |project| &project.text);
    let mut document = text.parse::<DocumentMut>().map_err(|error| {
        Failure::new(Code::Config, format!("{} cannot be edited", path.display()))
            .cause(error.message())
            .help(edit_command(&path))
    })?;

    if !arguments.has_values() {
        if !ui::can_ask() {
            return Err(Failure::new(Code::Usage, "no settings to write")
                .cause("no option sets a value, and there is no terminal to ask on")
                .help(
                    "lclaude local init --model NAME  # or --backend, --url, --context, --profile, --lean, --throwaway",
                ));
        }
        arguments.ask(&document, &environment)?;
    }
    arguments.check(&environment)?;
    arguments.write_into(&mut document);
    let new = render(document, text);
    if new == text {
        ui::message(format_args!("lclaude: {} already has these settings", path.display()));
        return Ok(0);
    }
    if existing.is_some() && !arguments.choice.choice.yes {
        ui::message(format_args!("lclaude: {} already exists; its new content would be:", path.display()));
        ui::message_lines(format_args!("\n{}\n", new.trim_end()));
        if !question::confirm("Write it?", Enter::No) {
            return Err(Failure::new(Code::Usage, format!("{} was not changed", path.display()))
                .cause("the change was not confirmed")
                .help(arguments.command_line()));
        }
    }
    let written = if existing.is_some() { disk::replace(&path, new.as_bytes()) } else { write_new(&path, &new) };
    written.map_err(|error| {
        Failure::new(Code::Config, format!("{} cannot be written", path.display()))
            .cause(error)
            .help(format!("ls -ld {}", ui::quote_path(&directory)))
    })?;
    ui::print(&format!("{}:\n{new}", ui::one_line(path.display())));
    for note in notes(path, &environment)? {
        ui::message(format_args!("lclaude: {note}"));
    }
    Ok(0)
}

/// Returns what the user should know about the new file.
pub(super) fn notes(path: PathBuf, environment: &Environment) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    if let Some(nearer) = project::locate(environment)?.filter(|nearer| *nearer != path) {
        notes.push(format!("{} is nearer, so it is used in this directory instead", nearer.display()));
    }
    if let Some(project) = Project::read(path, &TrustList::new(&environment.places.state))?
        && project.asks()?.iter().any(|ask| ask.needs_word.is_some())
    {
        notes.push("it contains settings that require trust: lclaude local trust".into());
    }
    Ok(notes)
}

impl InitArguments {
    /// Returns whether an option sets a value.
    fn has_values(&self) -> bool {
        let Selection { choice, model } = &self.choice;
        let values = [&choice.url, &choice.profile, model];
        self.lean
            || self.throwaway
            || choice.backend.is_some()
            || choice.context.is_some()
            || values.iter().any(|value| value.is_some())
    }

    /// Returns the command that writes these settings without asking.
    fn command_line(&self) -> String {
        let flags = [(self.lean, " --lean"), (self.throwaway, " --throwaway"), (true, " --yes")];
        flags.into_iter().filter(|(is_set, _)| *is_set).fold(self.choice.line("init"), |line, (_, flag)| line + flag)
    }

    /// Asks for each setting. The default answer is the value in effect now.
    fn ask(&mut self, document: &DocumentMut, environment: &Environment) -> Result<()> {
        let own = launch::load_settings(&self.choice.choice, &Overrides::default(), None, environment)?;
        let current = |key: &str| document.get(key).and_then(Item::as_str).map(str::to_owned);
        let Selection { choice, model } = &mut self.choice;
        if !own.profiles.is_empty() {
            let names: Vec<&str> = own.profiles.keys().map(String::as_str).collect();
            let question = format!("Profile ({})", names.join(", "));
            choice.profile = ask_value(&question, current("profile"), |name| {
                (!own.profiles.contains_key(name)).then(|| "not one of your profiles".to_owned())
            })?;
            if choice.profile.is_some() {
                // The profile sets everything else.
                return Ok(());
            }
        }
        let detected = || backend::plan(&own, environment).ok().map(|chosen| chosen.plan.kind.to_string());
        let backend = ask_value("Backend", current("backend").or_else(detected), |name| {
            name.parse::<Kind>().err().map(|unknown| format!("not a backend: {unknown}"))
        })?;
        choice.backend = backend.and_then(|name| name.parse().ok());
        let default = || default_model(&own, choice.backend?, environment);
        *model = ask_value("Model", current("model").or_else(default), |name| {
            invalid_model_reason(name).map(str::to_owned)
        })?;
        let written = document
            .get("context")
            .and_then(|item| item.as_str().map(str::to_owned).or_else(|| Some(item.as_integer()?.to_string())));
        let tokens = written.unwrap_or_else(|| own.context().to_string());
        let context = ask_value("Context window, in tokens", Some(tokens), |text| {
            parse_context(text).err().map(|why| format!("not a context: {why}"))
        })?;
        choice.context = context.and_then(|context| parse_context(&context).ok());
        Ok(())
    }

    /// Checks the options as a session with them would.
    fn check(&self, environment: &Environment) -> Result<()> {
        let Selection { choice, model } = &self.choice;
        if let Some((name, why)) = model.as_deref().and_then(|name| Some((name, invalid_model_reason(name)?))) {
            return Err(Failure::new(Code::Usage, format!("invalid model {name:?} for a project file"))
                .cause(format!("it is {why}; a project file may only name installed models"))
                .help(format!(
                    "to use a file, set [llamacpp] gguf = \"…\" in {}",
                    environment.places.config_file.display()
                )));
        }
        let overrides = Overrides { lean: self.lean, ..choice.overrides(model.clone()) };
        let settings = launch::load_settings(choice, &overrides, None, environment)?;
        if choice.url.is_some() {
            backend::url_to_write(&settings, "lclaude local config set --project endpoint.url")?;
        }
        match settings.backend.filter(|kind| choice.backend.is_some() && !settings.describes(*kind)) {
            None => Ok(()),
            Some(kind) => Err(Failure::new(Code::Usage, format!("backend {kind} is not configured"))
                .cause(format!("your own configuration has no [{kind}] table"))
                .help(format!("add [{kind}] to {}", environment.places.config_file.display()))),
        }
    }

    fn write_into(&self, document: &mut DocumentMut) {
        let Selection { choice, model } = &self.choice;
        let mut set = |key: &str, value| set_value(document.as_table_mut(), &Key::new(key), value);
        let backend = choice.backend.or(choice.url.as_ref().map(|_| url_kind())).map(|kind| kind.to_string());
        let names = [("backend", &backend), ("profile", &choice.profile), ("model", model)];
        for (key, value) in names {
            if let Some(value) = value {
                set(key, value.as_str().into());
            }
        }
        if let Some(context) = choice.context {
            set("context", i64::from(context).into());
        }
        for (key, value) in [("lean", self.lean), ("throwaway", self.throwaway)] {
            if value {
                set(key, true.into());
            }
        }
        // It was checked before.
        if let Some(url) = choice.url.as_ref().and_then(|url| server_url(url).ok())
            && let Some(endpoint) = document.entry("endpoint").or_insert_with(toml_edit::table).as_table_like_mut()
        {
            set_value(endpoint, &Key::new("url"), url.into());
        }
    }
}

/// Asks until the answer is valid. Returns `None` if the setting is to be left out. `invalid_reason` returns what is
/// wrong with an answer.
///
/// # Errors
/// `Usage` at the end of the input.
fn ask_value(
    question: &str,
    default: Option<String>,
    invalid_reason: impl Fn(&str) -> Option<String>,
) -> Result<Option<String>> {
    let default = default.filter(|default| invalid_reason(default).is_none()).unwrap_or_else(|| NONE.into());
    loop {
        let Some(answer) = ui::ask(&format!("{question} [{default}]")) else {
            return Err(Failure::new(Code::Usage, "nothing was written")
                .cause("the input ended before all questions were answered")
                .help("lclaude local init --model NAME  # asks nothing"));
        };
        let answer = if answer.is_empty() { default.clone() } else { answer };
        if answer == NONE {
            return Ok(None);
        }
        match invalid_reason(&answer) {
            None => return Ok(Some(answer)),
            Some(reason) => ui::message(format_args!("{answer:?} is {reason}; enter `{NONE}` to leave it out")),
        }
    }
}

/// Returns why a project file can't name this model, or `None` if it can.
fn invalid_model_reason(name: &str) -> Option<&'static str> {
    // An alias is resolved by Claude Code and is not a model of the backend.
    let alias = || arguments::is_alias(name.as_ref()).then_some("one of Claude Code's aliases");
    invalid_name_reason(name).or_else(alias)
}

/// Returns the model that a session would use with this backend.
fn default_model(own: &Settings, kind: Kind, environment: &Environment) -> Option<String> {
    let backend = registry::backend(kind);
    if own.model.as_ref().is_some_and(|model| backend.claims_model(model)) {
        return own.model.clone();
    }
    let plan = backend.plan(own, environment).ok()?;
    plan.models.first().map(|served| backend.model_name(served).to_owned())
}

/// Writes the file atomically. Fails if it exists.
pub(super) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    // The user's umask applies, as to any new file.
    let mut file = tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.persist_noclobber(path)?;
    Ok(())
}
