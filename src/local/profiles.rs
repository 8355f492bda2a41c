//! `lclaude local profiles`: lists the profiles of the configuration.

use serde_json::json;
use toml::{Table, Value};

use super::table::{self, Column, always, if_wide};
use crate::{
    base::{environment::Environment, error::Result, ui},
    cli::ProfilesArguments,
    config::{self, Overrides, Project, values},
};

/// The version of the JSON output.
const FORMAT: u32 = 1;

const COLUMNS: [Column; 6] =
    [always("NAME"), always("BACKEND"), always("MODEL"), if_wide("CONTEXT"), always("IN USE"), if_wide("ALSO SETS")];

/// The keys that have a column.
const SHOWN: [&str; 3] = ["backend", "model", "context"];

pub(crate) fn run(arguments: ProfilesArguments) -> Result<u8> {
    let environment = Environment::read()?;
    let ProfilesArguments { config, json } = arguments;
    let file = config.as_ref().unwrap_or(&environment.places.config_file);
    let project = Project::find(&environment)?;
    let settings = config::load(file, config.is_some(), project.as_ref(), &Overrides::default(), &environment)?;
    let (profiles, used) = (&settings.profiles, settings.profile.as_deref());
    if json {
        let profile = |(name, profile): (&String, &Table)| {
            json!({
                "name": name,
                "backend": profile.get("backend"),
                "model": profile.get("model"),
                "context": profile.get("context"),
                "other_keys": values::other_keys(profile, &SHOWN),
                "in_use": used == Some(name),
            })
        };
        let profiles: Vec<_> = profiles.iter().map(profile).collect();
        ui::print_json(&format!("{:#}\n", json!({"format": FORMAT, "file": file, "profiles": profiles})));
        return Ok(0);
    }
    if profiles.is_empty() {
        ui::message(format_args!("lclaude: {} has no profiles", file.display()));
        ui::message_lines("  help: lclaude local config set profiles.NAME.model MODEL  # adds one");
        return Ok(0);
    }
    let unset = || "-".to_owned();
    let row = |(name, profile): (&String, &Table)| {
        let shown = |key: &str| match profile.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => unset(),
        };
        let others = values::other_keys(profile, &SHOWN);
        let others = if others.is_empty() { unset() } else { others.join(", ") };
        let [backend, model, context] = SHOWN.map(shown);
        let in_use = if used == Some(name) { "yes" } else { "no" };
        [name.clone(), backend, model, context, in_use.to_owned(), others].map(ui::one_line)
    };
    table::print(COLUMNS, profiles.iter().map(row));
    match used {
        Some(name) => ui::note(format_args!("lclaude: {name} is in use, selected by {}", settings.source("profile"))),
        None => ui::note("lclaude: none is in use; to use one: lclaude --profile NAME"),
    }
    Ok(0)
}
