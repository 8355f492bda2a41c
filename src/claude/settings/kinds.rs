//! What Claude Code wants the values of settings to be.
//!
//! With a single one of the wrong kind it drops the whole `--settings`, and ours with it: then any settings file may send
//! prompts elsewhere. Each of these was seen to do that (2.1.331). Those of other keys it passes over alone, or are not
//! known here.

use serde_json::Value;

type Is = fn(&Value) -> bool;

const KINDS: &[(&str, Is, &[&str])] = &[
    ("true or false", Value::is_boolean, BOOLEANS),
    ("text", Value::is_string, STRINGS),
    ("a number", Value::is_number, NUMBERS),
    ("an object", Value::is_object, OBJECTS),
    ("a list", Value::is_array, ARRAYS),
];

/// Texts of which only some will do.
const CHOICES: &[(&str, &[&str])] = &[
    ("/permissions/defaultMode", &["acceptEdits", "auto", "bypassPermissions", "default", "dontAsk", "plan"]),
    ("/permissions/disableBypassPermissionsMode", &["disable"]),
];

/// The first value that is not what it should be, in words.
pub fn mistake(settings: &Value) -> Option<String> {
    let kinds = KINDS.iter().flat_map(|(kind, is, keys)| keys.iter().map(move |key| (*key, *kind, is)));
    let of_wrong_kind = |(key, kind, is): (&str, &str, &Is)| {
        let value = settings.pointer(&format!("/{}", key.replace('.', "/")))?;
        // Not what it is: that may be a secret.
        (!is(value)).then(|| format!("{key} has to be {kind}"))
    };
    let chosen_wrong = |(pointer, choices): &(&str, &[&str])| {
        let value = settings.pointer(pointer)?;
        let will_do = value.as_str().is_some_and(|text| choices.contains(&text));
        let key = pointer.trim_start_matches('/').replace('/', ".");
        (!will_do).then(|| format!("{key} has to be one of {}, and is {value}", choices.join(", ")))
    };
    kinds.into_iter().find_map(of_wrong_kind).or_else(|| CHOICES.iter().find_map(chosen_wrong))
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
    fn a_value_of_the_wrong_kind_is_named() {
        let said = |settings: Value| mistake(&settings).unwrap_or_default();
        assert_eq!(said(json!({"model": 5})), "model has to be text");
        assert_eq!(said(json!({"permissions": {"allow": "Bash"}})), "permissions.allow has to be a list");
        assert!(said(json!({"permissions": {"defaultMode": "acceptedits"}})).contains("acceptEdits, auto"));
        assert_eq!(said(json!({"env": []})), "env has to be an object");
    }

    #[test]
    fn what_claude_code_takes_is_taken() {
        let settings = json!({
            "env": {"A": 5}, "permissions": {"allow": ["Bash"], "defaultMode": "plan"}, "hooks": {"Stop": []},
            "cleanupPeriodDays": 30, "includeCoAuthoredBy": false, "unknownKey": 5,
        });
        assert_eq!(mistake(&settings), None);
    }
}
