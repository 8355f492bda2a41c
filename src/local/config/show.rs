//! `list` and `get`.

use std::path::Path;

use serde_json::json;
use toml::Value;

use crate::{
    base::{
        error::{Code, Failure, Result},
        ui,
    },
    config::{
        KeyKind, Settings, Source, read_text,
        values::{self, Setting},
    },
    local::table::{self, always},
};

/// The version of the JSON output.
const FORMAT: u32 = 1;

/// Characters of a value in the table.
const MAX_VALUE: usize = 60;

pub(super) fn list(settings: &Settings, file: &Path, json: bool) -> Result<u8> {
    let settings = values::effective(settings);
    if json {
        let setting = |setting: &Setting| {
            json!({
                "key": setting.key,
                "value": setting.json(),
                "source": setting.source.to_string(),
            })
        };
        let settings: Vec<_> = settings.iter().map(setting).collect();
        ui::print_json(&format!("{:#}\n", json!({"format": FORMAT, "file": file, "settings": settings})));
        return Ok(0);
    }
    if settings.is_empty() {
        ui::message(format_args!(
            "lclaude: nothing is configured in {}, so the defaults apply; to choose a model: lclaude local use",
            file.display()
        ));
        return Ok(0);
    }
    let is_terminal = ui::width().is_some();
    let row = |setting: &Setting| {
        let value = setting.shown();
        let value = if is_terminal { ui::shorten(&value, MAX_VALUE) } else { value };
        [&setting.key, &value, &setting.source.to_string()].map(ui::one_line)
    };
    table::print([always("KEY"), always("VALUE"), always("FROM")], settings.iter().map(row));
    Ok(0)
}

/// Prints the value for scripts. Returns exit code 1 if the key is not set.
pub(super) fn get(key: &str, settings: &Settings, file: &Path) -> Result<u8> {
    if values::check_key(key)? == KeyKind::Table {
        return Err(Failure::new(Code::Usage, format!("{key} is a table"))
            .cause("only its keys have values")
            .help("lclaude local config  # lists the keys that are set"));
    }
    let value = match key.starts_with("profiles.") {
        true => values::in_file(key, &read_text(file, false)?, file)?,
        false => values::effective(settings).into_iter().find(|setting| setting.key == key).map(|found| found.value),
    };
    let Some(value) = value else {
        return Ok(1);
    };
    let text = match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    ui::print_exact(&format!("{text}\n"));
    Ok(0)
}

/// Returns a note if another source than `file` decides about a setting here.
pub(crate) fn overruled(setting: &Setting, file: &Path) -> Option<String> {
    let Setting { key, source, .. } = setting;
    let place = match source {
        Source::Project(_) => "in this project ",
        Source::Variable(_) => "in this shell ",
        Source::Profile(..) | Source::SelectedProfile(..) => "",
        Source::File(own) if own == file => return None,
        Source::File(_) | Source::Default | Source::Option(_) => return None,
    };
    let value = ui::shorten(&setting.shown(), MAX_VALUE);
    Some(format!("{source} sets {key} = {value}, so it is used {place}instead"))
}
