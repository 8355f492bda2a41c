//! `set` and `unset`.

use toml_edit::Value;

use super::{show::overruled, target::Target};
use crate::{
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        ui,
    },
    config::{Edit, KeyKind, Settings, values},
    local::init,
};

pub(super) fn set(
    key: &str,
    text: &str,
    target: &Target,
    environment: &Environment,
    settings: impl Fn() -> Result<Settings>,
) -> Result<u8> {
    if values::check_key(key)? == KeyKind::Table {
        return Err(Failure::new(Code::Usage, format!("{key} is a table"))
            .cause("only its keys have values")
            .help("lclaude local config edit"));
    }
    let value = values::parse_value(key, text)?;
    change(key, Some(value), target, environment, settings)
}

pub(super) fn unset(
    key: &str,
    target: &Target,
    environment: &Environment,
    settings: impl Fn() -> Result<Settings>,
) -> Result<u8> {
    values::check_key(key)?;
    change(key, None, target, environment, settings)
}

/// Writes a change if the whole file is valid with it, and shows it.
fn change(
    key: &str,
    value: Option<Value>,
    target: &Target,
    environment: &Environment,
    settings: impl Fn() -> Result<Settings>,
) -> Result<u8> {
    let text = target.read(environment)?;
    let is_set = value.is_some();
    let edit = Edit::of(&target.path, &text, [(key, value)]).or_else(|failure| {
        // This names the line of a fault that the file already has.
        target.check(&text).and(Err(failure))
    })?;
    let shown = ui::one_line(target.path.display());
    if edit.is_empty() {
        ui::message(match is_set {
            true => format!("lclaude: {shown} already has this value"),
            false => format!("lclaude: {shown} does not set {key}"),
        });
        return Ok(0);
    }
    target.check(&edit.text).map_err(|failure| {
        let option = if target.is_project { " --project" } else { "" };
        failure.help(format!("lclaude local config edit{option}  # the file was not changed"))
    })?;
    match target.is_project && !target.path.exists() {
        true => init::write_new(&target.path, &edit.text).map_err(|error| {
            Failure::new(Code::Config, format!("{} cannot be written", target.path.display()))
                .cause(error)
                .help("lclaude local config path --project")
        })?,
        false => edit.write()?,
    }
    ui::print(&format!("{shown}:\n{edit}\n"));
    if target.is_project {
        for note in init::notes(target.path.clone(), environment)? {
            ui::message(format_args!("lclaude: {note}"));
        }
        return Ok(0);
    }
    // Whatever is wrong elsewhere is reported by the next session.
    if let Ok(settings) = settings() {
        let endpoint = &settings.endpoint;
        let has_secret =
            endpoint.token_env.is_some() || !endpoint.headers.is_empty() || !endpoint.headers_env.is_empty();
        if is_set && key == "endpoint.url" && has_secret {
            ui::message("lclaude: warning: the token and headers of [endpoint] are now sent to this URL");
        }
        let setting = values::effective(&settings).into_iter().find(|setting| setting.key == key);
        if let Some(note) = setting.and_then(|setting| overruled(&setting, &target.path)) {
            ui::message(format_args!("lclaude: {note}"));
        }
    }
    Ok(0)
}
