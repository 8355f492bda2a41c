//! `lclaude local init`: writes a project's `.lclaude.toml`, from options or from answers, and leaves the rest of an
//! existing one as it is.

use crate::cli::Init;
use std::{
    fs::Permissions,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use toml_edit::{DocumentMut, Item};

use crate::cli::Selection;
use crate::{
    backend::{self, registry},
    base::{
        disk,
        environment::Environment,
        error::{Code, Failure, Result},
        ui,
    },
    claude::arguments::{self, Request},
    config::{
        Kind, Overrides, Project, Settings,
        project::{self, NAME, more_than_a_name},
        set,
        trust::Store,
        written,
    },
    launch,
};

/// What an answer says that leaves a line out.
const NONE: &str = "none";

pub fn run(mut arguments: Init) -> Result<u8> {
    let environment = Environment::read()?;
    let directory = project::root(&environment)?.ok_or_else(|| {
        Failure::new(Code::Usage, "the home directory is no project")
            .why(format!("a {NAME} here would not be read"))
            .help(format!("what is to hold everywhere belongs into {}", environment.places.config_file.display()))
    })?;
    let path = directory.join(NAME);
    let existing = Project::read(path.clone(), &Store::new(&environment.places.state))?;
    if let Some(project) = &existing {
        // For its errors, which say what is wrong with it.
        project.asks()?;
    }
    let text = existing.as_ref().map_or("", |project| &project.text);
    let mut document = text.parse::<DocumentMut>().map_err(|error| {
        Failure::new(Code::Config, format!("{} cannot be edited", path.display()))
            .why(error.message())
            .help(format!("${{EDITOR:-vi}} {}", path.display()))
    })?;

    if !arguments.says_something() {
        if !ui::can_ask() {
            return Err(Failure::new(Code::Usage, "there is nothing to write")
                .why("no option says what, and there is no terminal to ask you on")
                .help("lclaude local init --model NAME, or --backend, --context, --profile, --lean, --throwaway"));
        }
        arguments.ask(&document, &environment)?;
    }
    arguments.check(&environment)?;
    arguments.write_into(&mut document);
    let new = written(document, text);
    if new == text {
        ui::say(format_args!("lclaude: {} says so already", path.display()));
        return Ok(0);
    }
    if existing.is_some() && !arguments.choice.choice.yes {
        ui::say(format_args!("lclaude: {} is there already; it would become\n\n{}", path.display(), new.trim_end()));
        if !ui::agrees("\nWrite it?") {
            return Err(Failure::new(Code::Usage, format!("{} was left as it is", path.display()))
                .why("you did not say yes")
                .help("--yes writes over it without a question"));
        }
    }
    let written = if existing.is_some() { disk::replace(&path, new.as_bytes()) } else { write_new(&path, &new) };
    written.map_err(|error| {
        Failure::new(Code::Config, format!("{} cannot be written", path.display()))
            .why(error)
            .help(format!("ls -ld {}", directory.display()))
    })?;
    ui::print(&ui::harmless(&format!("{}:\n{new}", path.display())));
    for word in afterwards(path, &environment)? {
        ui::say(format_args!("lclaude: {word}"));
    }
    Ok(0)
}

/// What the user should know of the file that is there now.
fn afterwards(path: PathBuf, environment: &Environment) -> Result<Vec<String>> {
    let mut words = Vec::new();
    if let Some(nearer) = project::locate(environment)?.filter(|nearer| *nearer != path) {
        words.push(format!("{} is nearer, and is the one that is read here", nearer.display()));
    }
    if let Some(project) = Project::read(path, &Store::new(&environment.places.state))?
        && project.asks()?.iter().any(|ask| ask.needs_word.is_some())
    {
        words.push("some of it needs your word: lclaude local trust".into());
    }
    Ok(words)
}

impl Init {
    fn says_something(&self) -> bool {
        let Selection { choice, model } = &self.choice;
        let values = [&choice.backend, &choice.profile, model];
        self.lean || self.throwaway || choice.context.is_some() || values.iter().any(|value| value.is_some())
    }

    /// Fills in what the user answers; what would be used now is proposed.
    fn ask(&mut self, document: &DocumentMut, environment: &Environment) -> Result<()> {
        let own = launch::own_settings(&self.choice.choice, &Overrides::default(), None, environment)?;
        let written = |key: &str| document.get(key).and_then(Item::as_str).map(str::to_owned);
        let Selection { choice, model } = &mut self.choice;
        if !own.profiles.is_empty() {
            let names: Vec<&str> = own.profiles.keys().map(String::as_str).collect();
            let question = format!("Profile ({})", names.join(", "));
            choice.profile = answer(&question, written("profile"), |name| {
                (!own.profiles.contains_key(name)).then_some("no profile of yours")
            })?;
            if choice.profile.is_some() {
                // It has the rest.
                return Ok(());
            }
        }
        let detected = || backend::plan(&own, environment).ok().map(|chosen| chosen.plan.kind.to_string());
        choice.backend = answer("Backend", written("backend").or_else(detected), |name| {
            kind(name).is_none().then_some("none of ollama, lmstudio, llamacpp, command, endpoint")
        })?;
        let usual = || usual_model(&own, choice.backend.as_deref().and_then(kind)?, environment);
        *model = answer("Model", written("model").or_else(usual), no_model_of_its_own)?;
        let now =
            document.get("context").and_then(Item::as_integer).map_or(own.context().to_string(), |n| n.to_string());
        let context = answer("Context, in tokens", Some(now), |text| {
            text.parse::<u32>().is_err().then_some("not a number of tokens")
        })?;
        choice.context = context.and_then(|context| context.parse().ok());
        Ok(())
    }

    /// As a session with these options would.
    fn check(&self, environment: &Environment) -> Result<()> {
        let Selection { choice, model } = &self.choice;
        if let Some((name, why)) = model.as_deref().and_then(|name| Some((name, no_model_of_its_own(name)?))) {
            return Err(Failure::new(Code::Usage, format!("a project's file cannot name the model {name:?}"))
                .why(format!("it is {why}; a project names models that whoever uses it has installed"))
                .help(
                    "a file belongs into your own configuration: [llamacpp] gguf = \"…\", in a profile if you like",
                ));
        }
        let overrides = Overrides { lean: self.lean, ..choice.overrides(model.clone()) };
        let settings = launch::own_settings(choice, &overrides, None, environment)?;
        match settings.backend.filter(|kind| choice.backend.is_some() && !settings.describes(*kind)) {
            None => Ok(()),
            Some(kind) => Err(Failure::new(Code::Usage, format!("you have no backend {kind}"))
                .why("a project's file can only choose one that your own configuration describes")
                .help(format!("describe it under [{kind}] in {}", environment.places.config_file.display()))),
        }
    }

    fn write_into(&self, document: &mut DocumentMut) {
        let Selection { choice, model } = &self.choice;
        let words = [("backend", &choice.backend), ("profile", &choice.profile), ("model", model)];
        for (key, value) in words {
            if let Some(value) = value {
                set(document, key, value.as_str().into());
            }
        }
        if let Some(context) = choice.context {
            set(document, "context", i64::from(context).into());
        }
        for (key, value) in [("lean", self.lean), ("throwaway", self.throwaway)] {
            if value {
                set(document, key, true.into());
            }
        }
    }
}

/// Asks until the answer is one; `None` for a line that is to be left out. `fault`: what is wrong with an answer.
fn answer(
    question: &str,
    default: Option<String>,
    fault: impl Fn(&str) -> Option<&'static str>,
) -> Result<Option<String>> {
    let default = default.filter(|default| fault(default).is_none()).unwrap_or_else(|| NONE.into());
    loop {
        let Some(answer) = ui::ask(&format!("{question} [{default}]")) else {
            return Err(Failure::new(Code::Usage, "nothing was written")
                .why("the answers ended early")
                .help("lclaude local init --model NAME asks nothing"));
        };
        let answer = if answer.is_empty() { default.clone() } else { answer };
        if answer == NONE {
            return Ok(None);
        }
        match fault(&answer) {
            None => return Ok(Some(answer)),
            Some(fault) => ui::say(format_args!("{answer:?} is {fault}; `{NONE}` leaves it out")),
        }
    }
}

/// Why a project's file cannot have this name for its model.
fn no_model_of_its_own(name: &str) -> Option<&'static str> {
    // What is left to Claude Code is no model of the backend's.
    let alias = || match arguments::read(&["--model".into(), name.into()]) {
        Ok(Request::Session(session)) if session.model.is_none() => Some("one of Claude Code's own aliases"),
        _ => None,
    };
    more_than_a_name(name).or_else(alias)
}

fn kind(name: &str) -> Option<Kind> {
    toml::Value::from(name).try_into().ok()
}

/// What a session would ask this backend for.
fn usual_model(own: &Settings, kind: Kind, environment: &Environment) -> Option<String> {
    let backend = registry::backend(kind);
    if own.model.as_ref().is_some_and(|model| backend.alone_knows(model)) {
        return own.model.clone();
    }
    let plan = backend.plan(own, environment).ok()?;
    plan.models.first().map(|served| backend.model_name(served).to_owned())
}

/// All of it or nothing, and never over a file that came meanwhile.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    // Like any new file of the user's, less what their umask takes away.
    let mut file = tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.persist_noclobber(path)?;
    Ok(())
}
