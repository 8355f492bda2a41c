//! The actions, and the file that they act on.

use std::path::Path;

use super::{change, editor, show, target::Target};
use crate::{
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        exit::Exit,
        ui,
    },
    cli::{ConfigAction, ConfigArguments},
    config::{Overrides, Project, Settings, load},
};

pub(crate) fn run(arguments: ConfigArguments) -> Result<Exit> {
    check(&arguments)?;
    let environment = Environment::read()?;
    let ConfigArguments { action, key, value, project, config, json } = arguments;
    let user_file = config.clone().unwrap_or_else(|| environment.places.config_file.clone());
    let target = match project {
        true => Target::of_project(&environment)?,
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
