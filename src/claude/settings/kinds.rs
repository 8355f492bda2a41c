//! The types that Claude Code requires of settings.
//!
//! A single value of the wrong type makes Claude Code drop all of `--settings`, including our overlay, so that any
//! settings file could send prompts elsewhere. Seen with each key below (2.1.331). For other keys, Claude Code ignores
//! only that value, or the behavior is unknown.

use serde_json::Value;

type ValueCheck = fn(&Value) -> bool;

const TYPES: &[(&str, ValueCheck, &[&str])] = &[
    ("true or false", Value::is_boolean, BOOLEANS),
    ("a string", Value::is_string, STRINGS),
    ("a number", Value::is_number, NUMBERS),
    ("an object", Value::is_object, OBJECTS),
    ("an array", Value::is_array, ARRAYS),
];

/// Keys that accept only certain strings.
const CHOICES: &[(&str, &[&str])] = &[
    ("/permissions/defaultMode", &["acceptEdits", "auto", "bypassPermissions", "default", "dontAsk", "plan"]),
    ("/permissions/disableBypassPermissionsMode", &["disable"]),
];

/// Returns a message about the first invalid value, or `None` if all are valid.
pub(crate) fn find_invalid(settings: &Value) -> Option<String> {
    let types = TYPES.iter().flat_map(|(name, check, keys)| keys.iter().map(move |key| (*key, *name, check)));
    let wrong_type = |(key, name, check): (&str, &str, &ValueCheck)| {
        let value = settings.pointer(&format!("/{}", key.replace('.', "/")))?;
        // The message omits the value, which may be a secret.
        (!check(value)).then(|| format!("{key} must be {name}"))
    };
    let wrong_choice = |(pointer, choices): &(&str, &[&str])| {
        let value = settings.pointer(pointer)?;
        let is_valid = value.as_str().is_some_and(|text| choices.contains(&text));
        let key = pointer.trim_start_matches('/').replace('/', ".");
        (!is_valid).then(|| format!("invalid value {value} for {key}; expected one of {}", choices.join(", ")))
    };
    types.into_iter().find_map(wrong_type).or_else(|| CHOICES.iter().find_map(wrong_choice))
}

#[rustfmt::skip]
const BOOLEANS: &[&str] = &[
    "respectGitignore", "syncClaudeAiSkills", "syncClaudeAiPlugins", "wslInheritsWindowsSettings",
    "includeCoAuthoredBy", "includeGitInstructions", "enforceAvailableModels", "enableAllProjectMcpServers",
    "disableClaudeAiConnectors", "disableBundledSkills", "disableDirectMcpSkills", "disableAllHooks",
    "disableReplyCheck", "disableAgentView", "disableRemoteControl", "disableWorkflows", "disableArtifact",
    "enableArtifact", "enableWorkflows", "workflowKeywordTriggerEnabled", "disableSkillShellExecution",
    "disableWindowsBashCommandSplit", "bashEditDiffEnabled", "respondToBashCommands", "allowManagedHooksOnly",
    "allowManagedPermissionRulesOnly", "allowManagedMcpServersOnly", "allowAllClaudeAiMcps",
    "allowClaudeInChromeWithManagedMcp", "disableCommandPluginSources", "disableSideloadFlags",
    "forceRemoteSettingsRefresh", "skipWebFetchPreflight", "spinnerTipsEnabled", "clawdFileProgressEnabled",
    "syntaxHighlightingDisabled", "terminalTitleFromRename", "alwaysThinkingEnabled", "fastMode",
    "fastModePerSessionOptIn", "promptSuggestionEnabled", "emojiCompletionEnabled", "awaySummaryEnabled",
    "responseComparisonEnabled", "showClearContextOnPlanAccept", "channelsEnabled", "prefersReducedMotion",
    "doneMeansMerged", "totalTokensReminderAfterUserTurn", "autoMemoryEnabled", "autoDreamEnabled",
    "showThinkingSummaries", "skipDangerousModePermissionPrompt", "skipWorkflowUsageWarning", "verbose",
    "autoCompactEnabled", "precomputeCompactionEnabled", "idleCompaction", "switchModelsOnFlag",
    "autoContinueAtUsageLimit", "autoScrollEnabled", "wheelScrollAccelerationEnabled",
    "fileCheckpointingEnabled", "showTurnDuration", "showMessageTimestamps", "terminalProgressBarEnabled",
    "todoFeatureEnabled", "remoteControlAtStartup", "isolatePeerMachines", "autoUploadSessions",
    "inputNeededNotifEnabled", "agentPushNotifEnabled",
];

#[rustfmt::skip]
const STRINGS: &[&str] = &[
    "apiKeyHelper", "proxyAuthHelper", "awsCredentialExport", "awsAuthRefresh", "gcpAuthRefresh",
    "processWrapper", "model", "modelCatalogUrl", "modelCatalogPublicKey", "prUrlTemplate", "otelHeadersHelper",
    "outputStyle", "language", "advisorModel", "agent", "minimumVersion", "plansDirectory", "timeZone",
    "autoMemoryDirectory", "claudeMd", "pluginTrustMessage",
];

#[rustfmt::skip]
const NUMBERS: &[&str] = &[
    "cleanupPeriodDays", "desktopSessionCleanupPeriodDays", "skillListingMaxDescChars", "feedbackSurveyRate",
    "totalTokensReminderBudget",
];

#[rustfmt::skip]
const OBJECTS: &[&str] = &[
    "env", "permissions", "sandbox", "enabledPlugins", "statusLine", "fileSuggestion", "spinnerVerbs",
    "worktree",
];

#[rustfmt::skip]
const ARRAYS: &[&str] = &[
    "availableModels", "allowedHttpHookUrls", "httpHookAllowedEnvVars", "companyAnnouncements",
    "claudeMdExcludes", "permissions.allow", "permissions.deny", "permissions.ask",
    "permissions.additionalDirectories",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn invalid_value_is_reported_with_its_key() {
        let message = |settings: Value| find_invalid(&settings).unwrap_or_default();
        assert_eq!(message(json!({"model": 5})), "model must be a string");
        assert_eq!(message(json!({"permissions": {"allow": "Bash"}})), "permissions.allow must be an array");
        assert!(message(json!({"permissions": {"defaultMode": "acceptedits"}})).contains("acceptEdits, auto"));
        assert_eq!(message(json!({"env": []})), "env must be an object");
    }

    #[test]
    fn values_that_claude_code_accepts_are_valid() {
        let settings = json!({
            "env": {"A": 5}, "permissions": {"allow": ["Bash"], "defaultMode": "plan"}, "hooks": {"Stop": []},
            "cleanupPeriodDays": 30, "includeCoAuthoredBy": false, "unknownKey": 5,
        });
        assert_eq!(find_invalid(&settings), None);
    }
}
