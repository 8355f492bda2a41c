//! Every environment variable that Claude Code is given or spared, with a word on each.
//!
//! Facts are of Claude Code 2.1.331, most of them seen in runs of it against a logging server.
//!
//! A variable in a settings file beats one in the environment, so the whole table goes into the `--settings` overlay
//! too, which beats the files: what is set here as it is, what is removed here as an empty string.

use std::{collections::BTreeMap, path::Path};

use crate::{backend::Tiers, base::pattern::matches, config::Tier};

/// What the child is given: name and value.
pub type Table = BTreeMap<String, String>;

/// What of the session the table depends on.
pub struct Facts<'a> {
    pub url: &'a str,
    pub token: &'a str,
    pub tiers: &'a Tiers,
    /// How the model picker describes it.
    pub description: &'a str,
    /// Tokens that the backend really has.
    pub context: u32,
    pub max_output_tokens: u32,
    pub thinking: bool,
    /// Whether the prompt is to be short.
    pub lean: bool,
    /// The backend's host, where that is this machine by another name.
    pub own_host: Option<&'a str>,
    /// What is inherited as `NO_PROXY` and `no_proxy`, in this order.
    pub no_proxy: [Option<String>; 2],
}

/// What keeps requests to those that every backend understands.
pub const BETAS_OFF: [(&str, &str); 2] = [
    // Drops the beta headers and body fields that only Anthropic's own service knows.
    ("CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS", "1"),
    // Without the first, a `system` message appears among the messages, which most chat templates reject.
    ("CLAUDE_CODE_MODEL_CAPABILITIES", "-mid_conv_system,-mid_conv_tool_change,-adaptive_thinking,-effort"),
];

pub fn table(facts: &Facts) -> Table {
    let mut table = Table::from(
        [
            // Where requests go; Claude Code adds `/v1/messages`.
            ("ANTHROPIC_BASE_URL", facts.url),
            // Sent as `Authorization: Bearer`. Never empty: without it a stored login would be sent instead.
            ("ANTHROPIC_AUTH_TOKEN", facts.token),
            // An alias, so that what `/model` may write into the user's settings is never a local name.
            ("ANTHROPIC_MODEL", "sonnet"),
            // Makes Claude Code ignore routing, credentials, models and proxies in every settings file, a helper that
            // prints a key, and a stored login.
            ("CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST", "1"),
            // An unknown model is otherwise taken to have a million tokens of context …
            ("CLAUDE_CODE_DISABLE_1M_CONTEXT", "1"),
            // A header that differs in every session and so spoils the backend's cache of the prompt's beginning …
            ("CLAUDE_CODE_ATTRIBUTION_HEADER", "0"),
            // … and a reminder that does the same within one.
            ("CLAUDE_CODE_TOTAL_TOKENS_REMINDER", "off"),
            // Together: the backend's is the only address contacted.
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL", "1"),
            // At its start it would rewrite an older model's name in the user's settings.
            ("CLAUDE_CODE_DISABLE_LEGACY_MODEL_REMAP", "1"),
            // Background sessions and agent views start daemons that would outlive the backend.
            ("CLAUDE_CODE_DISABLE_AGENT_VIEW", "1"),
            // Milliseconds. A long prompt is silent for minutes on a small machine; the defaults give up on it.
            ("CLAUDE_STREAM_IDLE_TIMEOUT_MS", "1800000"),
            ("API_TIMEOUT_MS", "3600000"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    table.extend(BETAS_OFF.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // … so this is the window it compacts by, and shows in `/context`.
    table.insert("CLAUDE_CODE_MAX_CONTEXT_TOKENS".into(), facts.context.to_string());
    // Kept free for the answer.
    table.insert("CLAUDE_CODE_MAX_OUTPUT_TOKENS".into(), facts.max_output_tokens.to_string());
    if !facts.thinking {
        table.insert("CLAUDE_CODE_DISABLE_THINKING".into(), "1".into());
    }
    if facts.lean {
        // It adds instructions, and a path that differs from project to project.
        table.insert("CLAUDE_CODE_DISABLE_AUTO_MEMORY".into(), "1".into());
    }
    let mut set = |name: &str, value: &str| table.insert(name.to_owned(), value.to_owned());
    // A tier that is not mapped is asked for as `claude-…`, which no backend has.
    for (tier, model) in facts.tiers.iter().filter(|(tier, _)| *tier != Tier::Subagent) {
        let tier = tier.name().to_uppercase();
        set(&format!("ANTHROPIC_DEFAULT_{tier}_MODEL"), model);
        // What the model picker shows.
        set(&format!("ANTHROPIC_DEFAULT_{tier}_MODEL_NAME"), model);
        set(&format!("ANTHROPIC_DEFAULT_{tier}_MODEL_DESCRIPTION"), facts.description);
    }
    if let Some(subagent) = facts.tiers.model(Tier::Subagent) {
        set("CLAUDE_CODE_SUBAGENT_MODEL", subagent);
        // Without it an agent's own definition would win.
        set("CLAUDE_CODE_SUBAGENT_MODEL_FORCE", "1");
    }
    // A proxy would be sent the prompt in clear text. The lower-case name wins where both are read, and `localhost`
    // does not cover the address.
    let [upper, lower] = &facts.no_proxy;
    for (name, theirs) in
        [("NO_PROXY", upper.as_ref().or(lower.as_ref())), ("no_proxy", lower.as_ref().or(upper.as_ref()))]
    {
        let theirs = theirs.filter(|theirs| !theirs.is_empty()).map(|theirs| format!("{theirs},"));
        let own = facts.own_host.map(|host| format!(",{host}")).unwrap_or_default();
        table.insert(name.into(), format!("{}127.0.0.1,localhost{own}", theirs.unwrap_or_default()));
    }
    table
}

/// What has Claude Code live in the directory `home`, in a throwaway session.
pub fn throwaway(home: &Path, tmp: &Path) -> Table {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Table::from(
        [
            // Settings, history and memory; `.claude.json` too.
            ("CLAUDE_CONFIG_DIR", text(home)),
            // Login; on macOS it names another keychain entry. Empty it would mean ~/.claude.
            ("CLAUDE_SECURESTORAGE_CONFIG_DIR", text(home)),
            // Its temporary files, and its sockets where there is no XDG_RUNTIME_DIR, which the session's tools need as
            // it is. (So they do XDG_STATE_HOME, where an installed one locks its version.)
            ("CLAUDE_CODE_TMPDIR", text(tmp)),
            // Logins of Anthropic's other programs, else in ~/.config/anthropic.
            ("ANTHROPIC_CONFIG_DIR", text(&home.join("anthropic"))),
            // It would put an extension into the user's editor.
            ("CLAUDE_CODE_IDE_SKIP_AUTO_INSTALL", "1".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
}

/// What would have a throwaway session use the user's own memory or plugins all the same. Not for the overlay: in a
/// variable that names a directory an empty string may mean anything.
pub const ELSEWHERE: &[&str] = &[
    "CLAUDE_CODE_REMOTE_MEMORY_DIR",
    "CLAUDE_COWORK_MEMORY_PATH_OVERRIDE",
    "CLAUDE_CODE_PLUGIN_CACHE_DIR",
    "CLAUDE_CODE_PLUGIN_SEED_DIR",
];

/// Patterns of the variables that would send requests, credentials or prompts elsewhere. Those that the table sets are
/// replaced, not removed.
pub const REMOVED: &[&str] = &[
    // Credentials that would be sent beside ours.
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_BETAS",
    "ANTHROPIC_PROFILE",
    "ANTHROPIC_CONFIG_DIR",
    "ANTHROPIC_FEDERATION_RULE_ID",
    "ANTHROPIC_IDENTITY_TOKEN*",
    "ANTHROPIC_ORGANIZATION_ID",
    "ANTHROPIC_SERVICE_ACCOUNT_ID",
    "ANTHROPIC_WORKSPACE_ID",
    "CLAUDE_CODE_OAUTH_*",
    "CLAUDE_CODE_*_FILE_DESCRIPTOR",
    "AWS_BEARER_TOKEN_BEDROCK",
    // Other providers and other addresses.
    "ANTHROPIC_API_HOST",
    "ANTHROPIC_UNIX_SOCKET",
    "ANTHROPIC_BEDROCK_*",
    "ANTHROPIC_VERTEX_*",
    "ANTHROPIC_FOUNDRY_*",
    "ANTHROPIC_AWS_*",
    "ANTHROPIC_GOOGLE_CLOUD_*",
    "CLOUD_ML_REGION",
    "CLAUDE_CODE_USE_*",
    "CLAUDE_CODE_SKIP_*_AUTH",
    "CLAUDE_CODE_HOST_*",
    "CLAUDE_CODE_API_BASE_URL",
    "CLAUDE_CODE_GB_BASE_URL",
    "_CLAUDE_CODE_ASSUME_FIRST_PARTY_BASE_URL",
    // Other models, and what is added to requests.
    "ANTHROPIC_*MODEL*",
    "CLAUDE_CODE_SUBAGENT_MODEL*",
    "CLAUDE_CODE_WORKFLOW_SUBAGENT_MODEL",
    "CLAUDE_CODE_AUTO_MODE_MODEL",
    "CLAUDE_CODE_MODEL_CATALOG*",
    "CLAUDE_CODE_EXTRA_BODY",
    "CLAUDE_CODE_EXTRA_METADATA",
    "CLAUDE_CODE_DISABLE_THINKING",
    // What a Claude Code that we are started from says about itself.
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_SESSION_*",
    // Telemetry of the user's own was seen to carry prompts.
    "CLAUDE_CODE_ENABLE_TELEMETRY",
    "OTEL_*",
    "ANT_*",
    "*BETA_TRACING_*",
    "*ENHANCED_TELEMETRY_BETA",
    "CLAUDE_CODE_CLIENT_DATA_URL",
];

/// The names behind the patterns above that a settings file could set; the overlay needs them one by one.
/// (Those Claude Code 2.1.331 contains, as `strings` finds them, that send anything anywhere.)
pub const REMOVED_NAMES: &[&str] = &[
    "ANTHROPIC_API_HOST",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AWS_API_KEY",
    "ANTHROPIC_SERVICE_ACCOUNT_ID",
    "ANT_CLAUDE_CODE_METRICS_ENDPOINT",
    "ANT_OTEL_EXPORTER_OTLP_ENDPOINT",
    "ANT_OTEL_EXPORTER_OTLP_HEADERS",
    "ANT_OTEL_LOGS_EXPORTER",
    "ANT_OTEL_METRICS_EXPORTER",
    "ANT_OTEL_TRACES_EXPORTER",
    "BETA_TRACING_ENDPOINT",
    "ENABLE_BETA_TRACING_DETAILED",
    "ENABLE_ENHANCED_TELEMETRY_BETA",
    "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA",
    "CLAUDE_CODE_CLIENT_DATA_URL",
    "CLAUDE_CODE_HOST_CREDS_FILE",
    "CLAUDE_CODE_OAUTH_REFRESH_TOKEN",
    "CLAUDE_CODE_SKIP_BEDROCK_AUTH",
    "CLAUDE_CODE_SKIP_FOUNDRY_AUTH",
    "CLAUDE_CODE_SKIP_MANTLE_AUTH",
    "CLAUDE_CODE_SKIP_VERTEX_AUTH",
    "OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT",
    "ANTHROPIC_AWS_BASE_URL",
    "ANTHROPIC_AWS_WORKSPACE_ID",
    "ANTHROPIC_BEDROCK_BASE_URL",
    "ANTHROPIC_BEDROCK_MANTLE_BASE_URL",
    "ANTHROPIC_BETAS",
    "ANTHROPIC_CONFIG_DIR",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_CUSTOM_MODEL_OPTION",
    "ANTHROPIC_CUSTOM_MODEL_OPTION_DESCRIPTION",
    "ANTHROPIC_CUSTOM_MODEL_OPTION_NAME",
    "ANTHROPIC_CUSTOM_MODEL_OPTION_SUPPORTED_CAPABILITIES",
    "ANTHROPIC_DEFAULT_FABLE_MODEL_SUPPORTED_CAPABILITIES",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL_SUPPORTED_CAPABILITIES",
    "ANTHROPIC_DEFAULT_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL_SUPPORTED_CAPABILITIES",
    "ANTHROPIC_DEFAULT_SONNET_MODEL_SUPPORTED_CAPABILITIES",
    "ANTHROPIC_FEDERATION_RULE_ID",
    "ANTHROPIC_FOUNDRY_API_KEY",
    "ANTHROPIC_FOUNDRY_AUTH_TOKEN",
    "ANTHROPIC_FOUNDRY_BASE_URL",
    "ANTHROPIC_FOUNDRY_RESOURCE",
    "ANTHROPIC_GOOGLE_CLOUD_BASE_URL",
    "ANTHROPIC_GOOGLE_CLOUD_PROJECT",
    "ANTHROPIC_IDENTITY_TOKEN",
    "ANTHROPIC_IDENTITY_TOKEN_FILE",
    "ANTHROPIC_ORGANIZATION_ID",
    "ANTHROPIC_PROFILE",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "ANTHROPIC_UNIX_SOCKET",
    "ANTHROPIC_VERTEX_BASE_URL",
    "ANTHROPIC_VERTEX_PROJECT_ID",
    "ANTHROPIC_WORKSPACE_ID",
    "AWS_BEARER_TOKEN_BEDROCK",
    "_CLAUDE_CODE_ASSUME_FIRST_PARTY_BASE_URL",
    "CLAUDE_CODE_API_BASE_URL",
    "CLAUDE_CODE_AUTO_MODE_MODEL",
    "CLAUDE_CODE_DISABLE_THINKING",
    "CLAUDE_CODE_ENABLE_TELEMETRY",
    "CLAUDE_CODE_EXTRA_BODY",
    "CLAUDE_CODE_EXTRA_METADATA",
    "CLAUDE_CODE_GB_BASE_URL",
    "CLAUDE_CODE_MODEL_CATALOG",
    "CLAUDE_CODE_MODEL_CATALOG_URL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_SUBAGENT_MODEL",
    "CLAUDE_CODE_SUBAGENT_MODEL_FORCE",
    "CLAUDE_CODE_USE_ANTHROPIC_AWS",
    "CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_USE_GATEWAY",
    "CLAUDE_CODE_USE_MANTLE",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_WORKFLOW_SUBAGENT_MODEL",
    "CLOUD_ML_REGION",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_LOGS_EXPORTER",
    "OTEL_LOG_ASSISTANT_RESPONSES",
    "OTEL_LOG_RAW_API_BODIES",
    "OTEL_LOG_TOOL_CONTENT",
    "OTEL_LOG_TOOL_DETAILS",
    "OTEL_LOG_USER_PROMPTS",
    "OTEL_METRICS_EXPORTER",
    "OTEL_TRACES_EXPORTER",
];

/// Whether an inherited variable must not reach the child.
pub fn is_removed(name: &str) -> bool {
    REMOVED.iter().any(|pattern| matches(pattern, name))
}

/// Whether an inherited variable is taken from the child, or has another value there.
pub fn is_overruled(name: &str) -> bool {
    is_removed(name) || name.starts_with("ANTHROPIC_DEFAULT_") || ROUTING.contains(&name)
}

/// Those of the table that say where requests go, and as whom.
pub const ROUTING: &[&str] = &["ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_MODEL"];

/// Those that Claude Code takes from settings files even so, `CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST` or not; only an overlay
/// beats them.
const OBEYED_FROM_SETTINGS: &[&str] = &[
    "ANTHROPIC_BETAS",
    "API_TIMEOUT_MS",
    "CLAUDE_CODE_ATTRIBUTION_HEADER",
    "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS",
    "CLAUDE_CODE_ENABLE_TELEMETRY",
    "CLAUDE_CODE_EXTRA_BODY",
    "CLAUDE_CODE_MAX_CONTEXT_TOKENS",
    "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
    "OTEL_*",
];

/// Whether a settings file that sets `name` has its way in a Claude Code without our overlay.
pub fn is_obeyed_from_settings(name: &str) -> bool {
    OBEYED_FROM_SETTINGS.iter().any(|pattern| matches(pattern, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_for_the_overlay_is_one_that_is_removed() {
        assert_eq!(REMOVED_NAMES.iter().find(|name| !is_removed(name)), None);
    }

    #[test]
    fn the_users_other_cloud_credentials_stay() {
        for name in ["AWS_ACCESS_KEY_ID", "GOOGLE_APPLICATION_CREDENTIALS", "CLAUDE_CONFIG_DIR", "HTTPS_PROXY"] {
            assert!(!is_removed(name), "{name}");
        }
    }
}
