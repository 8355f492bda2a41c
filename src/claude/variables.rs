//! Every environment variable that is set or removed for Claude Code, and why.
//!
//! Facts are from Claude Code 2.1.331, most of them seen in runs against a logging server.
//!
//! A variable in a settings file overrides one in the environment, so the whole table also goes into the `--settings`
//! overlay, which overrides the files: a variable set here keeps its value, one removed here becomes an empty string.

use std::{collections::BTreeMap, path::Path};

use crate::{backend::Tiers, base::pattern::matches, config::Tier};

/// The variables set for the child, by name.
pub(crate) type Table = BTreeMap<String, String>;

/// The properties of a session that its variables depend on.
pub(crate) struct Facts<'a> {
    pub url: &'a str,
    pub token: &'a str,
    /// Other headers of every request, one a line.
    pub headers: Option<&'a str>,
    pub tiers: &'a Tiers,
    /// The model's description in the model picker.
    pub description: &'a str,
    /// Whether prompts stay on this machine.
    pub is_local: bool,
    /// The backend's actual context window, in tokens.
    pub context: u32,
    pub max_output_tokens: u32,
    pub thinking: bool,
    /// Whether to keep the prompt short.
    pub lean: bool,
    /// The backend's host, if it is another name of this machine.
    pub own_host: Option<&'a str>,
    /// The inherited `NO_PROXY` and `no_proxy`, in this order.
    pub no_proxy: [Option<String>; 2],
}

/// Variables that limit requests to what every backend supports.
pub(crate) const BETAS_OFF: [(&str, &str); 2] = [
    // Drops the beta headers and body fields that only Anthropic's API knows.
    ("CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS", "1"),
    // `mid_conv_system` puts a `system` message between the others, which most chat templates reject.
    ("CLAUDE_CODE_MODEL_CAPABILITIES", "-mid_conv_system,-mid_conv_tool_change,-adaptive_thinking,-effort"),
];

/// The variables with which Claude Code contacts no address but the backend's: each with its value, a word for what it
/// switches off, and all of that.
pub(crate) const SWITCHED_OFF: [(&str, &str, &str, &str); 2] = [
    (
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
        "1",
        "telemetry",
        "telemetry, error reports, feedback and updates are off",
    ),
    (
        "CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL",
        "1",
        "marketplace",
        "Anthropic's plugin marketplace is not downloaded",
    ),
];

/// Returns the variables to set for a session.
pub(crate) fn table(facts: &Facts) -> Table {
    let mut table = Table::from(
        [
            // Claude Code adds `/v1/messages`.
            ("ANTHROPIC_BASE_URL", facts.url),
            // Sent as `Authorization: Bearer`. Never empty, or a stored login would be sent instead.
            ("ANTHROPIC_AUTH_TOKEN", facts.token),
            // An alias, which the tier's variable below maps to a model.
            ("ANTHROPIC_MODEL", "sonnet"),
            // Makes Claude Code ignore a stored login, `apiKeyHelper`, and routing, credentials, models and proxies in
            // every settings file.
            ("CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST", "1"),
            // Otherwise Claude Code assumes a context window of 1M tokens for an unknown model.
            ("CLAUDE_CODE_DISABLE_1M_CONTEXT", "1"),
            // A header that differs in every session, which invalidates the backend's prompt cache.
            ("CLAUDE_CODE_ATTRIBUTION_HEADER", "0"),
            // A reminder that changes within a session, with the same effect.
            ("CLAUDE_CODE_TOTAL_TOKENS_REMINDER", "off"),
            // Otherwise Claude Code renames older models in the user's settings at startup.
            ("CLAUDE_CODE_DISABLE_LEGACY_MODEL_REMAP", "1"),
            // The command that Claude Code's hint on how to resume the session names.
            ("CLAUDE_CODE_RESUME_HINT_COMMAND", "lclaude"),
            // `/status` would complain that the installed command isn't `claude`.
            ("DISABLE_INSTALLATION_CHECKS", "1"),
            // Background sessions and the agent view start daemons that outlive the backend.
            ("CLAUDE_CODE_DISABLE_AGENT_VIEW", "1"),
            // Otherwise Claude Code sends the whole conversation again for a summary, some minutes after the last turn.
            ("CLAUDE_CODE_ENABLE_AWAY_SUMMARY", "0"),
            // A slow machine can take minutes to prefill a long prompt; the defaults time out.
            ("CLAUDE_STREAM_IDLE_TIMEOUT_MS", "1800000"),
            ("API_TIMEOUT_MS", "3600000"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    table.extend(BETAS_OFF.map(|(name, value)| (name.to_owned(), value.to_owned())));
    table.extend(SWITCHED_OFF.map(|(name, value, ..)| (name.to_owned(), value.to_owned())));
    // The context window, which decides when to compact and which `/context` shows.
    table.insert("CLAUDE_CODE_MAX_CONTEXT_TOKENS".into(), facts.context.to_string());
    table.insert("CLAUDE_CODE_MAX_OUTPUT_TOKENS".into(), facts.max_output_tokens.to_string());
    if facts.is_local {
        // A word in the footer, so that nobody takes the session for one in the cloud.
        table.insert("CLAUDE_CODE_FOOTER_INDICATOR".into(), "local".into());
    }
    if !facts.thinking {
        table.insert("CLAUDE_CODE_DISABLE_THINKING".into(), "1".into());
    }
    if facts.lean {
        // Auto memory adds instructions to the prompt, and a path that differs in every project.
        table.insert("CLAUDE_CODE_DISABLE_AUTO_MEMORY".into(), "1".into());
    }
    let mut set = |name: &str, value: &str| table.insert(name.to_owned(), value.to_owned());
    if let Some(headers) = facts.headers {
        // For a gateway before the model. They replace the user's own, which belong to another server.
        set("ANTHROPIC_CUSTOM_HEADERS", headers);
    }
    // An unmapped tier is requested as `claude-…`, which no backend has.
    for (tier, model) in facts.tiers.iter().filter(|(tier, _)| *tier != Tier::Subagent) {
        let tier = tier.name().to_uppercase();
        set(&format!("ANTHROPIC_DEFAULT_{tier}_MODEL"), model);
        // For the model picker.
        set(&format!("ANTHROPIC_DEFAULT_{tier}_MODEL_NAME"), model);
        set(&format!("ANTHROPIC_DEFAULT_{tier}_MODEL_DESCRIPTION"), facts.description);
    }
    if let Some(subagent) = facts.tiers.model(Tier::Subagent) {
        set("CLAUDE_CODE_SUBAGENT_MODEL", subagent);
        // Otherwise the model in an agent's definition wins.
        set("CLAUDE_CODE_SUBAGENT_MODEL_FORCE", "1");
    }
    // A proxy would receive the prompt in clear text. If both names are set, the lower-case one wins, and `localhost`
    // doesn't cover 127.0.0.1.
    let [upper, lower] = &facts.no_proxy;
    for (name, inherited) in
        [("NO_PROXY", upper.as_ref().or(lower.as_ref())), ("no_proxy", lower.as_ref().or(upper.as_ref()))]
    {
        let inherited = inherited.filter(|hosts| !hosts.is_empty()).map(|hosts| format!("{hosts},"));
        let own = facts.own_host.map(|host| format!(",{host}")).unwrap_or_default();
        table.insert(name.into(), format!("{}127.0.0.1,localhost{own}", inherited.unwrap_or_default()));
    }
    table
}

/// Returns the variables that make `home` the configuration directory of a throwaway session.
pub(crate) fn throwaway(home: &Path, tmp: &Path) -> Table {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Table::from(
        [
            // Settings, history, memory and `.claude.json`.
            ("CLAUDE_CONFIG_DIR", text(home)),
            // The login; on macOS the name of the keychain entry. An empty value means ~/.claude.
            ("CLAUDE_SECURESTORAGE_CONFIG_DIR", text(home)),
            // Temporary files, and sockets if XDG_RUNTIME_DIR is unset. XDG_RUNTIME_DIR and XDG_STATE_HOME (where an
            // installed Claude Code locks its version) stay as they are, because the session's tools need them.
            ("CLAUDE_CODE_TMPDIR", text(tmp)),
            // Logins of Anthropic's other programs, by default in ~/.config/anthropic.
            ("ANTHROPIC_CONFIG_DIR", text(&home.join("anthropic"))),
            // Claude Code runs npm after half a minute, which logs the working directory, by default in ~/.npm/_logs.
            ("npm_config_logs_dir", text(&tmp.join("npm-logs"))),
            // Otherwise Claude Code installs an extension into the user's editor.
            ("CLAUDE_CODE_IDE_SKIP_AUTO_INSTALL", "1".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
}

/// Inherited variables that would make a throwaway session use the user's memory or plugins. The overlay omits them,
/// because the effect of an empty directory name is unknown.
pub(crate) const REMOVED_IN_THROWAWAY: &[&str] =
    &[MEMORY_DIR, "CLAUDE_COWORK_MEMORY_PATH_OVERRIDE", "CLAUDE_CODE_PLUGIN_CACHE_DIR", "CLAUDE_CODE_PLUGIN_SEED_DIR"];

/// Patterns of inherited variables that would send requests, credentials or prompts elsewhere, in groups: a word for the
/// group, what its variables are for, and the patterns. Variables that the table sets are replaced, not removed.
pub(crate) const REMOVED: &[(&str, &str, &[&str])] = &[
    (
        "credentials",
        "credentials",
        &[
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
        ],
    ),
    (
        "providers",
        "other providers and addresses",
        &[
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
        ],
    ),
    (
        "models",
        "other models, and additions to requests",
        &[
            "ANTHROPIC_*MODEL*",
            "CLAUDE_CODE_SUBAGENT_MODEL*",
            "CLAUDE_CODE_WORKFLOW_SUBAGENT_MODEL",
            "CLAUDE_CODE_AUTO_MODE_MODEL",
            "CLAUDE_CODE_MODEL_CATALOG*",
            "CLAUDE_CODE_EXTRA_BODY",
            "CLAUDE_CODE_EXTRA_METADATA",
            "CLAUDE_CODE_DISABLE_THINKING",
            // Set for sessions in Anthropic's cloud: other tools (11 more, 87 kB instead of 77) and another prompt.
            "CLAUDE_CODE_REMOTE*",
            // Numbers that change with every request, models of a gateway, and the beta fields of Anthropic's API.
            "CLAUDE_CODE_ENABLE_TOKEN_USAGE_ATTACHMENT",
            "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY",
            "CLAUDE_CODE_SIMULATE_PROXY_USAGE",
        ],
    ),
    ("session", "the session that lclaude runs in", &["CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SESSION_*"]),
    (
        "own telemetry",
        "telemetry of your own, which can contain prompts",
        &[
            "CLAUDE_CODE_ENABLE_TELEMETRY",
            "OTEL_*",
            "ANT_*",
            "*BETA_TRACING_*",
            "*ENHANCED_TELEMETRY_BETA",
            "CLAUDE_CODE_CLIENT_DATA_URL",
        ],
    ),
];

/// Names that match the patterns above and that a settings file can set; the overlay can't use patterns.
///
/// Found with `strings` in Claude Code 2.1.331; only variables that affect what is sent, and where.
pub(crate) const REMOVED_NAMES: &[&str] = &[
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
    "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY",
    "CLAUDE_CODE_ENABLE_TOKEN_USAGE_ATTACHMENT",
    "CLAUDE_CODE_REMOTE",
    "CLAUDE_CODE_REMOTE_ENVIRONMENT_TYPE",
    "CLAUDE_CODE_SIMULATE_PROXY_USAGE",
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

/// Where the user's memory is, which sessions outside the cloud use too.
const MEMORY_DIR: &str = "CLAUDE_CODE_REMOTE_MEMORY_DIR";

/// Whether an inherited variable must not reach the child.
pub(crate) fn is_removed(name: &str) -> bool {
    name != MEMORY_DIR && REMOVED.iter().flat_map(|(.., patterns)| *patterns).any(|pattern| matches(pattern, name))
}

/// Whether an inherited variable is removed or replaced for the child.
pub(crate) fn is_overridden(name: &str) -> bool {
    is_removed(name) || name.starts_with("ANTHROPIC_DEFAULT_") || ROUTING.contains(&name)
}

/// Variables of the table that set the address, the credential and the model.
const ROUTING: &[&str] = &["ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_MODEL"];

/// Patterns of variables that Claude Code reads from settings files despite `CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST`.
/// Only the overlay overrides them.
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

/// Whether Claude Code without our overlay obeys a settings file that sets `name`.
pub(crate) fn is_obeyed_from_settings(name: &str) -> bool {
    OBEYED_FROM_SETTINGS.iter().any(|pattern| matches(pattern, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_names_match_removed_patterns() {
        assert_eq!(REMOVED_NAMES.iter().find(|name| !is_removed(name)), None);
    }

    #[test]
    fn unrelated_credentials_are_kept() {
        for name in ["AWS_ACCESS_KEY_ID", "GOOGLE_APPLICATION_CREDENTIALS", "CLAUDE_CONFIG_DIR", "HTTPS_PROXY"] {
            assert!(!is_removed(name), "{name}");
        }
    }
}
