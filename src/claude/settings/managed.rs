//! The administrator's settings, which override all others, `--settings` included. They are respected, never overridden.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::overlay::env_names;
use crate::{
    base::error::{Code, Failure, Result},
    claude::variables::is_removed,
};

/// Returns the directory of the administrator's settings, which override all others.
fn managed_dir() -> &'static Path {
    Path::new(if cfg!(target_os = "macos") { "/Library/Application Support/ClaudeCode" } else { "/etc/claude-code" })
}

/// Checks that the administrator's settings leave routing, login and models to the user.
///
/// # Errors
/// `Refused` if they don't, or if a file isn't valid JSON.
pub(crate) fn check_managed_settings() -> Result<()> {
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
            return Err(Failure::new(Code::Refused, "the administrator's settings are not valid JSON")
                .cause(format!("{} may forbid lclaude, but it cannot be parsed", file.display()))
                .help(format!("python3 -m json.tool {}", file.display())));
        };
        if let Some(key) = find_policy(&settings) {
            return Err(refused(file, &key));
        }
    }
    Ok(())
}

fn refused(file: PathBuf, key: &str) -> Failure {
    Failure::new(Code::Refused, "the administrator's settings control where Claude Code sends requests")
        .cause(format!("{} sets {key}", file.display()))
        .help("ask your administrator, or run `claude`, which follows these settings")
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
        let failure = respect_managed_in(dir.path()).expect_err("refused");
        assert_eq!(failure.code, Code::Refused);
        assert!(failure.to_string().contains(&file.display().to_string()), "{failure}");
    }

    #[test]
    fn refusal_names_the_managed_file_and_key() {
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
