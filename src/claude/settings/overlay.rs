//! The `--settings` overlay: what variables alone cannot do, and the variables once more, since settings files beat
//! the environment and only `--settings` beats those.

use super::kinds;
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use crate::base::{
    disk,
    error::{Code, Failure, Result},
};
use crate::claude::variables::{REMOVED_NAMES, Table, is_obeyed_from_settings, is_overruled, is_removed};

/// Reads the user's own `--settings`, a file or inline JSON as Claude Code takes it.
///
/// # Errors
/// `Usage` when it is neither.
pub fn read(written: &OsStr, here: &Path) -> Result<Value> {
    let bad = |why: String| {
        Failure::new(Code::Usage, "--settings cannot be used")
            .why(why)
            .help("give it a file of JSON, or JSON itself: --settings '{\"permissions\":{…}}'")
    };
    let inline = written.to_str().filter(|text| text.trim_start().starts_with('{'));
    let value: Value = match inline {
        Some(json) => serde_json::from_str(json).map_err(|error| bad(format!("its JSON is broken: {error}")))?,
        None => {
            let path = here.join(written);
            let text = fs::read(&path).map_err(|error| bad(format!("{}: {error}", path.display())))?;
            // Claude Code takes both.
            match text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text).trim_ascii() {
                b"" => json!({}),
                text => serde_json::from_slice(text).map_err(|error| bad(format!("{}: {error}", path.display())))?,
            }
        }
    };
    if !value.is_object() {
        return Err(bad("it is not a JSON object".into()));
    }
    match kinds::mistake(&value) {
        None => Ok(value),
        Some(mistake) => Err(Failure::new(Code::Usage, "--settings cannot be used")
            .why(format!("{mistake}; Claude Code would drop all settings it is given, lclaude's included"))
            .help(match inline {
                Some(_) => "correct that value in --settings".to_owned(),
                None => format!("correct it in {}", here.join(written).display()),
            })),
    }
}

/// The overlay: the user's settings, ours merged over them.
///
/// `restricted`: whether the user's own files limit the models, which would put one of Anthropic's in ours' place.
pub fn overlay(user: Option<Value>, table: &Table, models: &[&str], restricted: bool) -> Value {
    let theirs = user.iter().flat_map(env_names).map(String::as_str).filter(|name| is_removed(name));
    let removed = REMOVED_NAMES.iter().copied().chain(theirs).map(|name| (name.to_owned(), String::new()));
    let env: Map<String, Value> =
        removed.chain(table.clone()).map(|(name, value)| (name, Value::String(value))).collect();
    let mut ours = json!({
        "env": env,
        "permissions": {
            // Its classifier would send the backend about ten large requests for each call of a tool.
            "disableAutoMode": "disable",
            // A tool that runs on Anthropic's servers.
            "deny": ["WebSearch"],
        },
        // Would ask Anthropic about each address before it is fetched.
        "skipWebFetchPreflight": true,
    });
    let mut overlay = user.unwrap_or_else(|| json!({}));
    if restricted || overlay.get("availableModels").is_some() {
        ours["availableModels"] = json!([&["opus", "sonnet", "haiku", "fable"], models].concat());
    }
    if let Some(overlay) = overlay.as_object_mut() {
        // Would print a credential of the user's for the backend.
        overlay.remove("apiKeyHelper");
    }
    merge(&mut overlay, ours);
    overlay
}

/// Objects deep, arrays joined, and `over` wins.
pub fn merge(under: &mut Value, over: Value) {
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

/// The keys of a settings file that lead requests elsewhere, change the model or carry prompts away.
#[derive(Debug, Default, PartialEq)]
pub struct Hijackers {
    /// A session's overlay beats them.
    pub overruled: Vec<String>,
    /// It does not name them, so they stay.
    pub left: Vec<String>,
}

/// Looks for them in a file of the user's or the project's.
pub fn hijackers(settings: &Value) -> Hijackers {
    let mut found = Hijackers::default();
    let keys = ["apiKeyHelper", "model", "availableModels"];
    found.overruled.extend(keys.into_iter().filter(|key| settings.get(key).is_some()).map(str::to_owned));
    for name in env_names(settings).filter(|name| is_overruled(name)) {
        // A pattern takes a variable from the environment; from a file, only its own name in the overlay does.
        let named = REMOVED_NAMES.contains(&name.as_str()) || !is_removed(name) || is_set(name);
        let list = if named { &mut found.overruled } else { &mut found.left };
        list.push(format!("env.{name}"));
    }
    found
}

/// Whether the overlay sets it, although a pattern would remove it.
fn is_set(name: &str) -> bool {
    let tiers = ["OPUS", "SONNET", "HAIKU", "FABLE"];
    let tier = name.strip_prefix("ANTHROPIC_DEFAULT_").and_then(|rest| rest.split_once("_MODEL"));
    name == "ANTHROPIC_MODEL"
        || tier.is_some_and(|(tier, rest)| tiers.contains(&tier) && matches!(rest, "" | "_NAME" | "_DESCRIPTION"))
}

/// The names in the `env` of settings.
fn env_names(settings: &Value) -> impl Iterator<Item = &String> {
    settings.get("env").and_then(Value::as_object).into_iter().flat_map(Map::keys)
}

/// The settings files that Claude Code will read: the project's, and the user's own in `config_dir`, if those are read.
pub fn files(config_dir: Option<&Path>, project: &Path) -> impl Iterator<Item = PathBuf> {
    let own = config_dir.map(|dir| dir.join("settings.json"));
    own.into_iter().chain(["settings.json", "settings.local.json"].map(|name| project.join(".claude").join(name)))
}

/// Whether any of them limits the models.
pub fn restricts_models(config_dir: Option<&Path>, project: &Path) -> bool {
    // A search in the text will do: a false alarm only lists our own models as available.
    files(config_dir, project).any(|file| {
        disk::read_to_string(&file).is_ok_and(|text| text.contains("availableModels") || text.contains("\\u"))
    })
}

/// What they say that our variables alone cannot overrule, file by file.
pub fn not_overruled(config_dir: Option<&Path>, project: &Path) -> Vec<(PathBuf, Vec<String>)> {
    let read = |file: PathBuf| {
        let settings: Value = serde_json::from_slice(&disk::read(&file).ok()?).ok()?;
        let mut keys: Vec<String> =
            env_names(&settings).filter(|name| is_obeyed_from_settings(name)).cloned().collect();
        keys.extend(settings.get("availableModels").map(|_| "availableModels".to_owned()));
        (!keys.is_empty()).then_some((file, keys))
    };
    files(config_dir, project).filter_map(read).collect()
}

/// Where administrators put settings that beat everything else.
fn managed_dir() -> &'static Path {
    Path::new(if cfg!(target_os = "macos") { "/Library/Application Support/ClaudeCode" } else { "/etc/claude-code" })
}

/// # Errors
/// `Refused` when an administrator's settings fix where Claude Code sends its requests, or who is logged in.
pub fn respect_managed() -> Result<()> {
    respect_managed_in(managed_dir())
}

fn respect_managed_in(dir: &Path) -> Result<()> {
    let mut files = vec![dir.join("managed-settings.json")];
    let parts = fs::read_dir(dir.join("managed-settings.d")).into_iter().flatten().flatten().map(|entry| entry.path());
    files.extend(parts.filter(|path| path.extension().is_some_and(|ending| ending == "json")));
    for file in files {
        let Ok(text) = fs::read(&file) else {
            continue;
        };
        let Ok(settings) = serde_json::from_slice::<Value>(&text) else {
            return Err(Failure::new(Code::Refused, "your administrator's settings cannot be understood")
                .why(format!("{} is not JSON, so nobody can say whether it allows this", file.display()))
                .help(format!("python3 -m json.tool {} shows where it is broken", file.display())));
        };
        if let Some(key) = fixed(&settings) {
            return Err(refused(file, &key));
        }
    }
    Ok(())
}

fn refused(file: PathBuf, key: &str) -> Failure {
    Failure::new(Code::Refused, "your administrator has fixed where Claude Code sends its requests")
        .why(format!("{} sets {key}", file.display()))
        .help("ask your administrator; `claude` itself runs as they intend")
}

/// The first key that fixes routing, login or models.
fn fixed(settings: &Value) -> Option<String> {
    let policies = ["forceLoginMethod", "forceLoginOrgUUID", "availableModels", "apiKeyHelper"];
    if let Some(policy) = policies.iter().find(|key| settings.get(**key).is_some()) {
        return Some((*policy).to_owned());
    }
    // Their telemetry is theirs: it goes on, and changes no route.
    let telemetry = |name: &str| ["OTEL_", "TELEMETRY", "TRACING"].iter().any(|mark| name.contains(mark));
    let routes = |name: &str| (name.starts_with("ANTHROPIC_") || is_removed(name)) && !telemetry(name);
    env_names(settings).find(|name| routes(name)).map(|name| format!("env.{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_settings_are_kept_and_our_variables_win() {
        let user = json!({
            "env": {"ANTHROPIC_BASE_URL": "http://elsewhere", "MINE": "1"},
            "permissions": {"deny": ["Bash"], "allow": ["Edit"]},
            "apiKeyHelper": "cat secret",
        });
        let table = Table::from([("ANTHROPIC_BASE_URL".to_owned(), "http://127.0.0.1:1".to_owned())]);
        let overlay = overlay(Some(user), &table, &["m"], false);
        assert_eq!(overlay["env"]["ANTHROPIC_BASE_URL"], "http://127.0.0.1:1");
        assert_eq!(overlay["env"]["MINE"], "1");
        assert_eq!(overlay["env"]["ANTHROPIC_API_KEY"], "");
        assert_eq!(overlay["permissions"]["deny"], json!(["Bash", "WebSearch"]));
        assert_eq!(overlay["permissions"]["allow"], json!(["Edit"]));
        assert_eq!(overlay.get("apiKeyHelper"), None);
        assert_eq!(overlay.get("availableModels"), None);
    }

    #[test]
    fn a_restriction_of_models_is_lifted_for_ours() {
        let overlay = overlay(Some(json!({"availableModels": ["haiku"]})), &Table::new(), &["m"], false);
        assert_eq!(overlay["availableModels"], json!(["haiku", "opus", "sonnet", "fable", "m"]));
    }

    #[test]
    fn hijackers_are_known_and_those_the_overlay_cannot_name_are_told_apart() {
        let settings = json!({"model": "opus", "env": {
            "ANTHROPIC_BASE_URL": "x", "ANTHROPIC_DEFAULT_OPUS_MODEL": "x", "OTEL_LOGS_EXPORTER": "otlp",
            "CLAUDE_CODE_USE_SOMETHING_NEW": "1", "PATH": "/bin",
        }});
        let found = hijackers(&settings);
        let overruled =
            ["model", "env.ANTHROPIC_BASE_URL", "env.ANTHROPIC_DEFAULT_OPUS_MODEL", "env.OTEL_LOGS_EXPORTER"];
        assert_eq!(found.overruled, overruled);
        assert_eq!(found.left, ["env.CLAUDE_CODE_USE_SOMETHING_NEW"]);
        assert_eq!(hijackers(&json!([])), Hijackers::default());
    }

    #[test]
    fn what_only_the_overlay_overrules_is_found_in_the_users_files() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(not_overruled(Some(dir.path()), dir.path()), []);
        let (file, local) = (dir.path().join("settings.json"), dir.path().join(".claude/settings.local.json"));
        let text =
            r#"{"env": {"ANTHROPIC_BASE_URL": "x", "OTEL_LOGS_EXPORTER": "otlp", "MINE": "1"}, "model": "opus"}"#;
        fs::write(&file, text).expect("a file");
        fs::create_dir(dir.path().join(".claude")).expect("a directory");
        fs::write(&local, r#"{"availableModels": []}"#).expect("a file");
        let found = [(file, vec!["OTEL_LOGS_EXPORTER".into()]), (local, vec!["availableModels".into()])];
        assert_eq!(not_overruled(Some(dir.path()), dir.path()), found);
    }

    #[test]
    fn managed_settings_that_fix_routing_are_respected() {
        let refused = |settings: Value| fixed(&settings);
        assert_eq!(refused(json!({"env": {"ANTHROPIC_BASE_URL": "x"}})).as_deref(), Some("env.ANTHROPIC_BASE_URL"));
        assert_eq!(
            refused(json!({"env": {"CLAUDE_CODE_USE_BEDROCK": "1"}})).as_deref(),
            Some("env.CLAUDE_CODE_USE_BEDROCK")
        );
        assert_eq!(refused(json!({"forceLoginMethod": "console"})).as_deref(), Some("forceLoginMethod"));
        assert_eq!(refused(json!({"availableModels": []})).as_deref(), Some("availableModels"));
        assert_eq!(refused(json!({"env": {"OTEL_LOGS_EXPORTER": "otlp"}, "permissions": {}})), None);
    }

    #[test]
    fn a_managed_file_that_is_broken_is_no_permission() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("managed-settings.json");
        fs::write(&file, "{").expect("a file");
        let failure = respect_managed_in(dir.path()).expect_err("refused");
        assert_eq!(failure.code, Code::Refused);
        assert!(failure.to_string().contains(&file.display().to_string()), "{failure}");
    }

    #[test]
    fn the_managed_file_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("managed-settings.d")).expect("a directory");
        let file = dir.path().join("managed-settings.d/10-login.json");
        fs::write(&file, r#"{"forceLoginOrgUUID":"x"}"#).expect("a file");
        let failure = respect_managed_in(dir.path()).expect_err("refused");
        assert_eq!(failure.code, Code::Refused);
        assert!(failure.to_string().contains(&file.display().to_string()), "{failure}");
        assert!(failure.to_string().contains("forceLoginOrgUUID"), "{failure}");
    }
}
