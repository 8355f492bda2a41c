//! The actions, and the file that they act on.

use std::path::{Path, PathBuf};

use super::{change, editor, show};
use crate::{
    backend::subject::edit_command,
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        exit::Exit,
        ui,
    },
    cli::{ConfigAction, ConfigArguments},
    config::{
        Overrides, Project, Settings, load,
        project::{self, FILE_NAME},
        read_text,
        trust::TrustList,
        values,
    },
};

/// A configuration file to show or change.
pub(super) struct Target {
    pub path: PathBuf,
    pub is_project: bool,
}

pub(crate) fn run(arguments: ConfigArguments) -> Result<Exit> {
    check(&arguments)?;
    let environment = Environment::read()?;
    let ConfigArguments { action, key, value, project, config, json } = arguments;
    let user_file = config.clone().unwrap_or_else(|| environment.places.config_file.clone());
    let target = match project {
        true => Target { path: project_file(&environment)?, is_project: true },
        false => Target { path: user_file.clone(), is_project: false },
    };
    let settings = || effective(&user_file, config.is_some(), &environment);
    let key = key.unwrap_or_default();
    let code = match action {
        ConfigAction::List => show::list(&settings()?, &user_file, json),
        ConfigAction::Path => {
            ui::print_exact(&format!("{}\n", target.path.display()));
            Ok(0)
        }
        ConfigAction::Get => show::get(&key, &settings()?, &user_file),
        ConfigAction::Set => change::set(&key, &value.unwrap_or_default(), &target, &environment, settings),
        ConfigAction::Unset => change::unset(&key, &target, &environment, settings),
        ConfigAction::Edit => return editor::edit(&target, &environment),
    };
    code.map(Exit::Code)
}

/// Returns the settings of a session here.
fn effective(user_file: &Path, is_required: bool, environment: &Environment) -> Result<Settings> {
    let project = Project::find(environment)?;
    load(user_file, is_required, project.as_ref(), &Overrides::default(), environment)
}

/// Checks that the action has the words it needs, and no others.
fn check(arguments: &ConfigArguments) -> Result<()> {
    let ConfigArguments { action, key, value, project, json, .. } = arguments;
    let (name, wanted) = match action {
        ConfigAction::List => ("list", 0),
        ConfigAction::Path => ("path", 0),
        ConfigAction::Edit => ("edit", 0),
        ConfigAction::Get => ("get", 1),
        ConfigAction::Unset => ("unset", 1),
        ConfigAction::Set => ("set", 2),
    };
    let given = usize::from(key.is_some()) + usize::from(value.is_some());
    let example = match wanted {
        0 => "",
        1 => " model",
        _ => " model qwen3-coder:30b",
    };
    let failed = |what: String, why: &str| {
        Err(Failure::new(Code::Usage, what).cause(why).help(format!("lclaude local config {name}{example}")))
    };
    if given < wanted {
        let missing = if key.is_none() { "a key" } else { "a value" };
        return failed(format!("`lclaude local config {name}` requires {missing}"), "none is given");
    }
    if given > wanted {
        let extra = if wanted == 0 { "a key" } else { "a value" };
        return failed(format!("`lclaude local config {name}` doesn't take {extra}"), "there is one word too many");
    }
    if *json && *action != ConfigAction::List {
        return failed(format!("--json can't be used with `lclaude local config {name}`"), "only the list has JSON");
    }
    if *project && matches!(action, ConfigAction::List | ConfigAction::Get) {
        let why = "it shows what is in effect here, from all files";
        return failed(format!("--project can't be used with `lclaude local config {name}`"), why);
    }
    Ok(())
}

/// Returns the project's file: the nearest one, or where a new one belongs.
fn project_file(environment: &Environment) -> Result<PathBuf> {
    if let Some(nearest) = project::locate(environment)? {
        return Ok(nearest);
    }
    project::root(environment)?.map(|directory| directory.join(FILE_NAME)).ok_or_else(|| {
        Failure::new(Code::Usage, "the home directory is not a project")
            .cause(format!("lclaude does not read a {FILE_NAME} here"))
            .help(edit_command(&environment.places.config_file))
    })
}

impl Target {
    /// Returns the content, which is empty if the file is missing.
    ///
    /// # Errors
    /// `Config` if it can't be read, `Refused` if a project file is a link or not a file.
    pub(super) fn read(&self, environment: &Environment) -> Result<String> {
        if self.is_project {
            let project = Project::read(self.path.clone(), &TrustList::new(&environment.places.state))?;
            return Ok(project.map(|project| project.text).unwrap_or_default());
        }
        read_text(&self.path, false)
    }

    /// Checks the content.
    ///
    /// # Errors
    /// `Config` with the line of the first fault.
    pub(super) fn check(&self, text: &str) -> Result<()> {
        match self.is_project {
            true => values::check_project_file(text, &self.path),
            false => values::check_user_file(text, &self.path),
        }
    }
}
