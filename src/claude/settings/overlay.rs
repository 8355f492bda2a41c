//! The `--settings` overlay: settings that have no variable, and all variables again, because settings files override
//! the environment and only `--settings` overrides the files.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::kinds;
use crate::{
    base::{
        disk,
        error::{Code, Failure, Result},
        ui,
    },
    claude::{
        tools::WEB_SEARCH,
        variables::{REMOVED_NAMES, Table, is_obeyed_from_settings, is_overridden, is_removed},
    },
};

/// Returns the user's own `--settings`, which is a file or inline JSON, as in Claude Code.
///
/// # Errors
/// `Usage` if it can't be read, isn't a JSON object, or has a value that Claude Code would reject.
pub(crate) fn read(written: &OsStr, here: &Path) -> Result<Value> {
    let bad = |why: String| {
        Failure::new(Code::Usage, "invalid value for --settings")
            .cause(why)
            .help("lclaude --settings FILE")
            .help("lclaude --settings '{\"permissions\":{…}}'")
    };
    let inline = written.to_str().filter(|text| text.trim_start().starts_with('{'));
    let value: Value = match inline {
        Some(json) => serde_json::from_str(json).map_err(|error| bad(format!("invalid JSON: {error}")))?,
        None => {
            let path = here.join(written);
            let text = fs::read(&path).map_err(|error| bad(format!("{}: {error}", path.display())))?;
            // Claude Code accepts a byte order mark and an empty file.
            match text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text).trim_ascii() {
                b"" => json!({}),
                text => serde_json::from_slice(text).map_err(|error| bad(format!("{}: {error}", path.display())))?,
            }
        }
    };
    if !value.is_object() {
        return Err(bad("it is not a JSON object".into()));
    }
    match kinds::find_invalid(&value) {
        None => Ok(value),
        Some(reason) => Err(Failure::new(Code::Usage, "invalid value for --settings")
            .cause(format!("{reason}; Claude Code would ignore all of --settings, including lclaude's part"))
            .help(match inline {
                Some(_) => "fix the value in --settings".to_owned(),
                None => format!("${{EDITOR:-vi}} {}", ui::quote_path(&here.join(written))),
            })),
    }
}

/// The setting without which `WebFetch` asks Anthropic about each address before fetching it.
pub(crate) const NO_PREFLIGHT: &str = "skipWebFetchPreflight";

/// Returns the overlay: the user's settings with ours merged over them.
///
/// `models`: see [`super::models`]. `denied`: rules of tools that the session leaves out.
pub(crate) fn build(user: Option<Value>, table: &Table, models: Value, denied: &[&str]) -> Value {
    let listed = user.iter().flat_map(env_names).map(String::as_str).filter(|name| is_removed(name));
    let removed = REMOVED_NAMES.iter().copied().chain(listed).map(|name| (name.to_owned(), String::new()));
    let env: Map<String, Value> =
        removed.chain(table.clone()).map(|(name, value)| (name, Value::String(value))).collect();
    let denied: Vec<&str> = [WEB_SEARCH].iter().chain(denied).copied().collect();
    let mut ours = json!({
        "env": env,
        "permissions": {
            // The classifier of auto mode sends about ten large requests for each tool call.
            "disableAutoMode": "disable",
            "deny": denied,
        },
        (NO_PREFLIGHT): true,
        // A teammate in a tmux pane of its own would get the address, but not the token.
        "teammateMode": "in-process",
    });
    merge(&mut ours, models);
    let mut overlay = user.unwrap_or_else(|| json!({}));
    if let Some(overlay) = overlay.as_object_mut() {
        for key in NOT_MERGED {
            overlay.remove(*key);
        }
    }
    merge(&mut overlay, ours);
    overlay
}

/// Keys of the user's `--settings` that are dropped.
const NOT_MERGED: &[&str] = &[
    // Its output, a credential of the user's, would be sent to the backend.
    "apiKeyHelper",
    // They name models that the backend doesn't have.
    "availableModels",
    "modelOverrides",
    "modelPicker",
];

/// Merges `over` into `under`: objects recursively, arrays joined, and any other value of `over` wins.
pub(crate) fn merge(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                match under.get_mut(&key) {
                    Some(below) => merge(below, value),
                    None => {
                        under.insert(key, value);
                    }
                }
            }
        }
        (Value::Array(under), Value::Array(over)) => {
            let new: Vec<Value> = over.into_iter().filter(|value| !under.contains(value)).collect();
            under.extend(new);
        }
        (under, over) => *under = over,
    }
}

/// The keys of a settings file that send requests or prompts elsewhere, or change the model.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Hijackers {
    /// Keys that a session's overlay overrides.
    pub overruled: Vec<String>,
    /// Keys that it does not contain, so they remain in effect.
    pub left: Vec<String>,
}

/// Returns the hijackers in a settings file of the user or the project.
pub(crate) fn find_hijackers(settings: &Value) -> Hijackers {
    let mut found = Hijackers::default();
    let keys = ["apiKeyHelper", "model", "availableModels"];
    found.overruled.extend(keys.into_iter().filter(|key| settings.get(key).is_some()).map(str::to_owned));
    for name in env_names(settings).filter(|name| is_overridden(name)) {
        // A pattern can remove a variable from the environment; the overlay has to name it.
        let is_named = REMOVED_NAMES.contains(&name.as_str()) || !is_removed(name) || is_set(name);
        let list = if is_named { &mut found.overruled } else { &mut found.left };
        list.push(format!("env.{name}"));
    }
    found
}

/// Whether the overlay sets a variable that a pattern would remove.
fn is_set(name: &str) -> bool {
    let tiers = ["OPUS", "SONNET", "HAIKU", "FABLE"];
    let tier = name.strip_prefix("ANTHROPIC_DEFAULT_").and_then(|rest| rest.split_once("_MODEL"));
    name == "ANTHROPIC_MODEL"
        || tier.is_some_and(|(tier, rest)| tiers.contains(&tier) && matches!(rest, "" | "_NAME" | "_DESCRIPTION"))
}

/// Returns the names in the `env` of settings.
pub(super) fn env_names(settings: &Value) -> impl Iterator<Item = &String> {
    settings.get("env").and_then(Value::as_object).into_iter().flat_map(Map::keys)
}

/// Returns the settings files that Claude Code reads: the project's, and the user's in `config_dir` if given.
pub(crate) fn files(config_dir: Option<&Path>, project: &Path) -> impl Iterator<Item = PathBuf> {
    let own = config_dir.map(|dir| dir.join("settings.json"));
    own.into_iter().chain(["settings.json", "settings.local.json"].map(|name| project.join(".claude").join(name)))
}

/// Returns the settings files, each with its keys that our variables can't override without the overlay.
pub(crate) fn keys_needing_overlay(config_dir: Option<&Path>, project: &Path) -> Vec<(PathBuf, Vec<String>)> {
    let read = |file: PathBuf| {
        let settings: Value = serde_json::from_slice(&disk::read(&file).ok()?).ok()?;
        let mut keys: Vec<String> =
            env_names(&settings).filter(|name| is_obeyed_from_settings(name)).cloned().collect();
        keys.extend(settings.get("availableModels").map(|_| "availableModels".to_owned()));
        (!keys.is_empty()).then_some((file, keys))
    };
    files(config_dir, project).filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlay_keeps_user_settings_and_overrides_routing() {
        let user = json!({
            "env": {"ANTHROPIC_BASE_URL": "http://elsewhere", "MINE": "1"},
            "permissions": {"deny": ["Bash"], "allow": ["Edit"]},
            "apiKeyHelper": "cat secret",
            "availableModels": ["haiku"],
        });
        let table = Table::from([("ANTHROPIC_BASE_URL".to_owned(), "http://127.0.0.1:1".to_owned())]);
        let overlay = build(Some(user), &table, json!({"availableModels": ["m"]}), &["Monitor"]);
        assert_eq!(overlay["env"]["ANTHROPIC_BASE_URL"], "http://127.0.0.1:1");
        assert_eq!(overlay["env"]["MINE"], "1");
        assert_eq!(overlay["env"]["ANTHROPIC_API_KEY"], "");
        assert_eq!(overlay["permissions"]["deny"], json!(["Bash", "WebSearch", "Monitor"]));
        assert_eq!(overlay["permissions"]["allow"], json!(["Edit"]));
        assert_eq!(overlay.get("apiKeyHelper"), None);
        assert_eq!(overlay["availableModels"], json!(["m"]));
    }

    #[test]
    fn hijackers_are_split_by_whether_the_overlay_overrides_them() {
        let settings = json!({"model": "opus", "env": {
            "ANTHROPIC_BASE_URL": "x", "ANTHROPIC_DEFAULT_OPUS_MODEL": "x", "OTEL_LOGS_EXPORTER": "otlp",
            "CLAUDE_CODE_USE_SOMETHING_NEW": "1", "PATH": "/bin",
        }});
        let found = find_hijackers(&settings);
        let overruled =
            ["model", "env.ANTHROPIC_BASE_URL", "env.ANTHROPIC_DEFAULT_OPUS_MODEL", "env.OTEL_LOGS_EXPORTER"];
        assert_eq!(found.overruled, overruled);
        assert_eq!(found.left, ["env.CLAUDE_CODE_USE_SOMETHING_NEW"]);
        assert_eq!(find_hijackers(&json!([])), Hijackers::default());
    }

    #[test]
    fn keys_that_need_the_overlay_are_listed_per_file() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(keys_needing_overlay(Some(dir.path()), dir.path()), []);
        let (file, local) = (dir.path().join("settings.json"), dir.path().join(".claude/settings.local.json"));
        let text =
            r#"{"env": {"ANTHROPIC_BASE_URL": "x", "OTEL_LOGS_EXPORTER": "otlp", "MINE": "1"}, "model": "opus"}"#;
        fs::write(&file, text).expect("a file");
        fs::create_dir(dir.path().join(".claude")).expect("a directory");
        fs::write(&local, r#"{"availableModels": []}"#).expect("a file");
        let found = [(file, vec!["OTEL_LOGS_EXPORTER".into()]), (local, vec!["availableModels".into()])];
        assert_eq!(keys_needing_overlay(Some(dir.path()), dir.path()), found);
    }
}
