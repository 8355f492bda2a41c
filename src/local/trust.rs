//! `lclaude local trust`: shows the settings of a project file, and trusts its current content if the user agrees.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        question::{self, Enter},
        ui,
    },
    cli::TrustArguments,
    config::{
        Project,
        project::{self, FILE_NAME, ProjectSetting},
        trust::{TrustList, TrustState},
    },
};

/// Why no project file was found.
pub(super) const NO_FILE: &str = "this directory and those above it, up to the root of the repository, contain none";

pub(crate) fn run(arguments: TrustArguments) -> Result<u8> {
    let environment = Environment::read()?;
    let store = TrustList::new(&environment.places.state);
    if arguments.list {
        return list(&store);
    }
    let path = find(arguments.file.as_deref(), &environment)?;
    let project = Project::read(path.clone(), &store)?.ok_or_else(|| not_a_project_file(&path))?;
    let shown = shown(&path);
    ui::print(&describe(&project, &project.asks()?));
    if project.is_trusted() {
        ui::message(format_args!("lclaude: {shown} is already trusted"));
        return Ok(0);
    }
    TrustList::can_hold(&path)?;
    if !arguments.yes {
        if !ui::can_ask() {
            return Err(Failure::new(Code::Usage, format!("{shown} is not trusted"))
                .cause("there is no terminal to ask on")
                .help(format!(
                    "lclaude local trust --yes {}  # after reviewing the settings above",
                    ui::quote_path(&path)
                )));
        }
        if !question::confirm("Trust this file?", Enter::No) {
            return Err(Failure::new(Code::Refused, format!("{shown} is not trusted"))
                .cause("you declined")
                .help(format!("lclaude local trust {}", ui::quote_path(&path))));
        }
    }
    // The pin of what was shown, since the file may have changed meanwhile.
    store.change(|trusted| trusted.insert(path.clone(), project.pin.clone()).as_ref() != Some(&project.pin))?;
    ui::message(format_args!("lclaude: {shown} is trusted until it changes"));
    Ok(0)
}

/// Returns the settings as text. Values are JSON, so each setting stays on one line.
fn describe(project: &Project, asks: &[ProjectSetting]) -> String {
    let changed = match project.standing {
        TrustState::Changed => "has changed since you trusted it and ",
        TrustState::OwnerChanged => "has another owner since you trusted it and ",
        TrustState::Unknown | TrustState::Trusted => "",
    };
    let mut text = match project.pin.other_owner() {
        Some(owner) => format!("This file belongs to another user (uid {owner}), who can change it.\n"),
        None => String::new(),
    };
    text.push_str(&format!("{} {changed}contains:\n", shown(&project.path)));
    for ProjectSetting { key, value, needs_word } in asks {
        let mark = if needs_word.is_some() { '!' } else { ' ' };
        let why = match needs_word {
            Some(why) if key.starts_with("model") => format!("   ({why})"),
            _ => String::new(),
        };
        text.push_str(&format!("  {mark} {key} = {value}{why}\n"));
    }
    if asks.is_empty() {
        text.push_str("    no settings\n");
    }
    if asks.iter().any(|ask| ask.needs_word.is_some()) {
        text.push_str(
            "Settings marked with ! require trust: they could run programs, load files or send your code elsewhere.\n",
        );
        text.push_str(
            "Trust covers this text only; programs and files that it names may change without another question.\n",
        );
    } else {
        text.push_str(
            "None of these settings require trust. Trusting the file also allows downloading the models it names.\n",
        );
    }
    text
}

fn list(store: &TrustList) -> Result<u8> {
    let mut text = String::new();
    for path in store.list()?.into_keys() {
        let state = match Project::read(path.clone(), store) {
            Ok(Some(project)) if project.is_trusted() => "trusted",
            Ok(Some(_)) => "changed",
            Ok(None) => "missing",
            Err(_) => "invalid",
        };
        text.push_str(&format!("{state:<15} {}\n", shown(&path)));
    }
    if text.is_empty() {
        ui::message("lclaude: no project file is trusted");
    }
    ui::print(&text);
    Ok(0)
}

/// Returns a path on one line, as it is listed.
pub(super) fn shown(path: &Path) -> String {
    ui::one_line(path.display())
}

/// Returns the project file that a session would use in the current directory or in `named`. `named` may also be the
/// file itself.
fn find(named: Option<&Path>, environment: &Environment) -> Result<PathBuf> {
    let Some(named) = named else {
        let directory = environment.working_dir()?;
        return project::locate(environment)?.ok_or_else(|| not_found(directory).cause(NO_FILE));
    };
    let project_of = |directory: &Path| project::locate(&environment.clone().in_directory(directory));
    if named.is_dir() {
        let directory = named.canonicalize().map_err(|error| not_found(named).cause(error))?;
        return project_of(&directory)?.ok_or_else(|| not_found(named).cause("its project has none"));
    }
    let path = canonical(named).map_err(|error| not_found(named).cause(error))?;
    let directory = path.parent().unwrap_or(&path);
    match project_of(directory)? {
        Some(found) if found == path => Ok(path),
        _ => Err(not_a_project_file(&path)),
    }
}

/// Resolves only the directory, since the file itself may be a symlink or missing.
pub(super) fn canonical(named: &Path) -> io::Result<PathBuf> {
    let parent = named.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(parent.canonicalize()?.join(named.file_name().unwrap_or(named.as_os_str())))
}

fn not_found(place: &Path) -> Failure {
    no_file(place).help("lclaude local init  # creates one").help("lclaude local trust FILE")
}

pub(super) fn no_file(place: &Path) -> Failure {
    Failure::new(Code::Usage, format!("no {FILE_NAME} found for {}", shown(place)))
}

fn not_a_project_file(path: &Path) -> Failure {
    Failure::new(Code::Usage, format!("{} is not a project file", shown(path)))
        .cause(format!("sessions read only files named {FILE_NAME}, outside the home directory"))
        .help("cd PROJECT && lclaude local trust")
}
