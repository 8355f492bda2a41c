//! `lclaude local trust`: shows what a project file asks for, and allows it, as it is now, if the user says so.

use crate::cli::Trust;
use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        ui,
    },
    config::{
        Project,
        project::{self, Ask, NAME},
        trust::{Standing, Store},
    },
};

/// Why there is none.
pub(super) const NO_FILE: &str = "neither this directory nor one above it, up to the root of its repository, has one";

pub fn run(arguments: Trust) -> Result<u8> {
    let environment = Environment::read()?;
    let store = Store::new(&environment.places.state);
    if arguments.list {
        return list(&store);
    }
    let path = find(arguments.file.as_deref(), &environment)?;
    let project = Project::read(path.clone(), &store)?.ok_or_else(|| nothing_at(&path))?;
    let shown = shown(&path);
    ui::print(&ui::harmless(&describe(&project, &project.asks()?)));
    if project.is_trusted() {
        ui::say(format_args!("lclaude: {shown} is trusted already, as it is now"));
        return Ok(0);
    }
    store.can_hold(&path)?;
    if !arguments.yes {
        if !ui::can_ask() {
            return Err(Failure::new(Code::Usage, format!("{shown} is not trusted"))
                .why("there is no terminal to ask you on")
                .help("look at what it asks for, then: lclaude local trust --yes"));
        }
        if !ui::agrees("Allow it?") {
            return Err(Failure::new(Code::Refused, format!("{shown} is not trusted"))
                .why("you did not say yes")
                .help("lclaude local trust asks again"));
        }
    }
    // What was shown, whatever the file says by now.
    store.change(|trusted| trusted.insert(path.clone(), project.hash.clone()).as_ref() != Some(&project.hash))?;
    ui::say(format_args!("lclaude: {shown} is trusted until it changes"));
    Ok(0)
}

/// All that it asks for, a line each, which no value of it can break.
fn describe(project: &Project, asks: &[Ask]) -> String {
    let changed = if project.standing == Standing::Changed { "has changed since you trusted it; it " } else { "" };
    let mut text = format!("{} {changed}asks for\n", shown(&project.path));
    for Ask { key, value, needs_word } in asks {
        let mark = if needs_word.is_some() { '!' } else { ' ' };
        let why = match needs_word {
            Some(why) if key.starts_with("model") => format!("   ({why})"),
            _ => String::new(),
        };
        text.push_str(&format!("  {mark} {key} = {value}{why}\n"));
    }
    if asks.is_empty() {
        text.push_str("    nothing\n");
    }
    if asks.iter().any(|ask| ask.needs_word.is_some()) {
        text.push_str("What has a ! needs your word: it could run programs, load files or send your code elsewhere.\n");
        text.push_str(
            "You trust this text; a program or file that it names may change and is not asked about again.\n",
        );
    } else {
        text.push_str("None of it needs your word. With it, models that are named here may be downloaded too.\n");
    }
    text
}

fn list(store: &Store) -> Result<u8> {
    let mut text = String::new();
    for path in store.list()?.into_keys() {
        let state = match Project::read(path.clone(), store) {
            Ok(Some(project)) if project.is_trusted() => "trusted",
            Ok(Some(_)) => "changed since",
            Ok(None) => "gone",
            Err(_) => "cannot be used",
        };
        text.push_str(&format!("{state:<15} {}\n", shown(&path)));
    }
    if text.is_empty() {
        ui::say("lclaude: no project file is trusted");
    }
    ui::print(&text);
    Ok(0)
}

/// A path on one line, as it is listed.
pub(super) fn shown(path: &Path) -> String {
    ui::harmless(&path.display().to_string()).replace('\n', "\\n")
}

/// The file that a session would use: where the user is, in a directory, or this very file.
fn find(named: Option<&Path>, environment: &Environment) -> Result<PathBuf> {
    let Some(named) = named else {
        let here = environment.working_dir()?;
        return project::locate(environment)?.ok_or_else(|| none(here).why(NO_FILE));
    };
    let project_of = |directory: &Path| project::locate(&environment.clone().in_directory(directory));
    if named.is_dir() {
        let directory = named.canonicalize().map_err(|error| none(named).why(error))?;
        return project_of(&directory)?.ok_or_else(|| none(named).why("its project has none"));
    }
    let path = canonical(named).map_err(|error| none(named).why(error))?;
    let directory = path.parent().unwrap_or(&path);
    match project_of(directory)? {
        Some(found) if found == path => Ok(path),
        _ => Err(nothing_at(&path)),
    }
}

/// With the directory's real name, and the file's own, which may be a link or gone.
pub(super) fn canonical(named: &Path) -> io::Result<PathBuf> {
    let parent = named.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(parent.canonicalize()?.join(named.file_name().unwrap_or(named.as_os_str())))
}

fn none(place: &Path) -> Failure {
    no_file(place).help("lclaude local init writes one; lclaude local trust FILE takes one elsewhere")
}

pub(super) fn no_file(place: &Path) -> Failure {
    Failure::new(Code::Usage, format!("there is no {NAME} for {}", shown(place)))
}

fn nothing_at(path: &Path) -> Failure {
    Failure::new(Code::Usage, format!("{} is no project's file", shown(path)))
        .why(format!("a session reads only a file that is named {NAME}, and none in the home directory"))
        .help("lclaude local trust, in a directory of the project")
}
