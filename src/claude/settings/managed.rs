//! The administrator's settings, which override all others, `--settings` included. They are respected, never overridden.
//!
//! They are JSON files, and on macOS also managed preferences, which a device management system (MDM) installs. Those are
//! property lists, in XML or binary, whose keys are the settings. They are parsed by the `plist` crate and not by macOS's
//! `plutil`, which costs a process and can't convert a list that contains a date or data to JSON.

use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::overlay::env_names;
use crate::{
    base::{
        disk,
        error::{Code, Failure, Result},
        process, ui,
    },
    claude::variables::is_removed,
};

/// Returns the directory of the administrator's files.
fn managed_dir() -> &'static Path {
    Path::new(if cfg!(target_os = "macos") { "/Library/Application Support/ClaudeCode" } else { "/etc/claude-code" })
}

/// Returns the managed preferences of this machine and of this user, which only macOS has.
fn managed_preferences() -> Vec<PathBuf> {
    if !cfg!(target_os = "macos") {
        return Vec::new();
    }
    let all = Path::new("/Library/Managed Preferences");
    let own = process::user_name().map(|name| all.join(name));
    [Some(all.to_owned()), own].into_iter().flatten().map(|dir| dir.join("com.anthropic.claudecode.plist")).collect()
}

/// Checks that the administrator's settings leave routing, login and models to the user.
///
/// # Errors
/// `Refused` if they don't, or if a file can't be parsed.
pub(crate) fn check_managed_settings() -> Result<()> {
    files_in(managed_dir()).into_iter().chain(managed_preferences()).try_for_each(|file| respect(&file))
}

/// Returns whether an administrator has settings on this machine.
pub(crate) fn are_managed() -> bool {
    files_in(managed_dir()).into_iter().chain(managed_preferences()).any(|file| file.exists())
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    let mut files = vec![dir.join("managed-settings.json")];
    let parts = fs::read_dir(dir.join("managed-settings.d")).into_iter().flatten().flatten().map(|entry| entry.path());
    files.extend(parts.filter(|path| path.extension().is_some_and(|ending| ending == "json")));
    files
}

/// Checks one file, which may be missing.
fn respect(file: &Path) -> Result<()> {
    let Ok(content) = disk::read(file) else {
        return Ok(());
    };
    let is_plist = file.extension().is_some_and(|ending| ending == "plist");
    let settings = if is_plist { parse_plist(&content) } else { serde_json::from_slice(&content).ok() };
    let Some(settings) = settings else {
        let (format, help) =
            if is_plist { ("a valid property list", "plutil -lint") } else { ("valid JSON", "python3 -m json.tool") };
        return Err(Failure::new(Code::Refused, format!("the administrator's settings are not {format}"))
            .cause(format!("{} may forbid lclaude, but it cannot be parsed", file.display()))
            .help(format!("{help} {}", ui::quote_path(file))));
    };
    match find_policy(&settings) {
        None => Ok(()),
        Some(key) => {
            Err(Failure::new(Code::Refused, "the administrator's settings control where Claude Code sends requests")
                .cause(format!("{} sets {key}", file.display()))
                .help("ask your administrator, or run `claude`, which follows these settings"))
        }
    }
}

/// Returns a property list as JSON, or `None` if it is invalid.
fn parse_plist(content: &[u8]) -> Option<Value> {
    plist::Value::from_reader(Cursor::new(content)).ok().map(to_json)
}

/// Returns a value as JSON. Dates and data, which no setting has, become strings.
fn to_json(value: plist::Value) -> Value {
    match value {
        plist::Value::Dictionary(table) => {
            Value::Object(table.into_iter().map(|(key, value)| (key, to_json(value))).collect::<Map<_, _>>())
        }
        plist::Value::Array(list) => list.into_iter().map(to_json).collect(),
        plist::Value::Boolean(is) => is.into(),
        plist::Value::Real(number) => number.into(),
        plist::Value::Integer(number) => {
            number.as_signed().map(Value::from).or(number.as_unsigned().map(Value::from)).unwrap_or_default()
        }
        plist::Value::String(text) => text.into(),
        other => format!("{other:?}").into(),
    }
}

/// Returns the first key that sets routing, login or models.
fn find_policy(settings: &Value) -> Option<String> {
    let policies = ["forceLoginMethod", "forceLoginOrgUUID", "availableModels", "apiKeyHelper"];
    if let Some(policy) = policies.iter().find(|key| settings.get(**key).is_some()) {
        return Some((*policy).to_owned());
    }
    // The administrator's telemetry stays on; it doesn't affect routing.
    let telemetry = |name: &str| ["OTEL_", "TELEMETRY", "TRACING"].iter().any(|mark| name.contains(mark));
    let routes = |name: &str| (name.starts_with("ANTHROPIC_") || is_removed(name)) && !telemetry(name);
    env_names(settings).find(|name| routes(name)).map(|name| format!("env.{name}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn managed_settings_for_routing_login_or_models_are_policies() {
        let policy = |settings: Value| find_policy(&settings);
        assert_eq!(policy(json!({"env": {"ANTHROPIC_BASE_URL": "x"}})).as_deref(), Some("env.ANTHROPIC_BASE_URL"));
        assert_eq!(
            policy(json!({"env": {"CLAUDE_CODE_USE_BEDROCK": "1"}})).as_deref(),
            Some("env.CLAUDE_CODE_USE_BEDROCK")
        );
        assert_eq!(policy(json!({"forceLoginMethod": "console"})).as_deref(), Some("forceLoginMethod"));
        assert_eq!(policy(json!({"availableModels": []})).as_deref(), Some("availableModels"));
        assert_eq!(policy(json!({"env": {"OTEL_LOGS_EXPORTER": "otlp"}, "permissions": {}})), None);
    }

    #[test]
    fn unparsable_managed_settings_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("managed-settings.json");
        fs::write(&file, "{").expect("a file");
        let failure = files_in(dir.path()).iter().try_for_each(|file| respect(file)).expect_err("refused");
        assert_eq!(failure.code, Code::Refused);
        assert!(failure.to_string().contains(&file.display().to_string()), "{failure}");
    }

    #[test]
    fn refusal_names_the_managed_file_and_key() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("managed-settings.d")).expect("a directory");
        let file = dir.path().join("managed-settings.d/10-login.json");
        fs::write(&file, r#"{"forceLoginOrgUUID":"x"}"#).expect("a file");
        let failure = files_in(dir.path()).iter().try_for_each(|file| respect(file)).expect_err("refused");
        assert_eq!(failure.code, Code::Refused);
        assert!(failure.to_string().contains(&file.display().to_string()), "{failure}");
        assert!(failure.to_string().contains("forceLoginOrgUUID"), "{failure}");
    }

    /// What `defaults write` and device management systems write.
    const XML: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
    <key>cleanupPeriodDays</key><integer>30</integer>
    <key>installed</key><date>2026-11-23T10:00:00Z</date>
    <key>permissions</key><dict><key>deny</key><array><string>Read</string></array></dict>
    <key>env</key><dict><key>NAME</key><string>https://gateway.example</string></dict>
</dict></plist>"#;

    #[test]
    fn managed_preferences_are_read_as_xml_and_binary() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("com.anthropic.claudecode.plist");
        respect(&file).expect("a missing file has no policy");
        for (name, is_policy) in [("ANTHROPIC_BASE_URL", true), ("OTEL_LOGS_EXPORTER", false)] {
            let xml = XML.replace("NAME", name).into_bytes();
            let mut binary = Vec::new();
            let value = plist::Value::from_reader(Cursor::new(&xml)).expect("a property list");
            value.to_writer_binary(&mut binary).expect("a vector takes everything");
            assert!(binary.starts_with(b"bplist00"));
            for content in [xml, binary] {
                let settings = parse_plist(&content).expect("a property list");
                assert_eq!(settings["cleanupPeriodDays"], 30);
                assert_eq!(settings["permissions"], json!({"deny": ["Read"]}));
                fs::write(&file, &content).expect("a file");
                let found = respect(&file).err().map(|failure| failure.why.unwrap_or_default());
                assert_eq!(found, is_policy.then(|| format!("{} sets env.{name}", file.display())));
            }
        }
    }

    #[test]
    fn invalid_managed_preferences_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("com.anthropic.claudecode.plist");
        for content in ["", "bplist00", "<plist><dict><key>", "{}"] {
            fs::write(&file, content).expect("a file");
            let failure = respect(&file).expect_err("refused");
            assert_eq!(
                (failure.code, &*failure.help[0]),
                (Code::Refused, &*format!("plutil -lint {}", file.display()))
            );
        }
    }
}
