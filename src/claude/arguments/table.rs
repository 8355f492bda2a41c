//! The options of Claude Code 2.1.331: those in its help, and more found with `strings`.

use std::ffi::OsStr;

/// The values of an option, by the rules of Commander, Claude Code's argument parser.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Arity {
    One,
    /// `[value]`: the next argument, unless it starts with a dash.
    Optional,
    /// `<values...>`: all arguments up to the next one that starts with a dash.
    Many,
}
use Arity::{Many, One, Optional};

/// Options that take a value.
pub(crate) const OPTIONS: &[(&str, Arity)] = &[
    ("--ablation", One),
    ("--add-dir", Many),
    ("--advisor", One),
    ("--agent", One),
    ("--agent-color", One),
    ("--agent-id", One),
    ("--agent-name", One),
    ("--agent-type", One),
    ("--agents", One),
    ("--allowed-tools", Many),
    ("--allowedTools", Many),
    ("--append-subagent-system-prompt", One),
    ("--append-subagent-system-prompt-file", One),
    ("--append-system-prompt", One),
    ("--append-system-prompt-file", One),
    ("--autocompact", One),
    ("--betas", Many),
    ("--channels", Many),
    ("--client-data-url", One),
    ("--cloud", Optional),
    ("--cwd", One),
    ("-d", Optional),
    ("--dangerously-load-development-channels", Many),
    ("--debug", Optional),
    ("--debug-file", One),
    ("--disallowed-tools", Many),
    ("--disallowedTools", Many),
    ("--effort", One),
    ("--environment", One),
    ("--fallback-model", One),
    ("--fast-mode", One),
    ("--file", Many),
    ("--forward-home-settings", One),
    ("--from-pr", Optional),
    ("--inherit-permission-mode", One),
    ("--input-format", One),
    ("--json-schema", One),
    ("--managed-settings", One),
    ("--max-budget-usd", One),
    ("--max-thinking-tokens", One),
    ("--max-turns", One),
    ("--mcp-config", Many),
    ("--messaging-socket-path", One),
    ("--model", One),
    ("-n", One),
    ("--name", One),
    ("--output-format", One),
    ("--parent-session-id", One),
    ("--permission-mode", One),
    ("--permission-prompt-tool", One),
    ("--permission-prompts", One),
    ("--plan-mode-instructions", One),
    ("--plugin-dir", One),
    ("--plugin-dir-no-mcp", One),
    ("--plugin-url", One),
    ("--prefill", One),
    ("--proactivity", One),
    ("--project-config-root", One),
    ("--prompt-suggestions", Optional),
    ("-r", Optional),
    ("--rc", Optional),
    ("--remote", Optional),
    ("--remote-control", Optional),
    ("--remote-control-session-name-prefix", One),
    ("--resume", Optional),
    ("--resume-drops-turn", One),
    ("--resume-session-at", One),
    ("--rewind-files", One),
    ("--sdk-url", One),
    ("--session-id", One),
    ("--setting-sources", One),
    ("--settings", One),
    ("--system-prompt", One),
    ("--system-prompt-file", One),
    ("--system-prompt-snapshot", One),
    ("--task-budget", One),
    ("--team-name", One),
    ("--teammate-mode", One),
    ("--teleport", Optional),
    ("--thinking", One),
    ("--thinking-display", One),
    ("--tools", Many),
    ("-w", Optional),
    ("--workload", One),
    ("--worktree", Optional),
];

/// Options that take no value.
pub(crate) const FLAGS: &[&str] = &[
    "--allow-dangerously-skip-permissions",
    "--ax-screen-reader",
    "--background",
    "--bare",
    "--bg",
    "--brief",
    "--chrome",
    "--continue",
    "--dangerously-skip-permissions",
    "--desktop",
    "--disable-slash-commands",
    "--exclude-dynamic-system-prompt-sections",
    "--fork-session",
    "--forward-subagent-text",
    "--ide",
    "--include-hook-events",
    "--include-partial-messages",
    "--no-chrome",
    "--no-session-persistence",
    "--print",
    "--replay-user-messages",
    "--restricted",
    "--safe-mode",
    "--strict-mcp-config",
    "--tmux",
    "--verbose",
];

/// Options and flags that are not in the help.
pub(crate) const UNLISTED: &[&str] = &[
    "--ablation",
    "--advisor",
    "--agent-color",
    "--agent-id",
    "--agent-name",
    "--agent-type",
    "--append-subagent-system-prompt",
    "--append-subagent-system-prompt-file",
    "--append-system-prompt-file",
    "--channels",
    "--client-data-url",
    "--cwd",
    "--dangerously-load-development-channels",
    "--fast-mode",
    "--forward-home-settings",
    "--inherit-permission-mode",
    "--managed-settings",
    "--max-thinking-tokens",
    "--max-turns",
    "--messaging-socket-path",
    "--parent-session-id",
    "--plan-mode-instructions",
    "--plugin-dir-no-mcp",
    "--prefill",
    "--proactivity",
    "--project-config-root",
    "--rc",
    "--remote",
    "--resume-drops-turn",
    "--resume-session-at",
    "--rewind-files",
    "--sdk-url",
    "--system-prompt-file",
    "--task-budget",
    "--team-name",
    "--teammate-mode",
    "--thinking",
    "--thinking-display",
    "--workload",
];

/// Returns which of the following arguments are values of the option, or `None` if it takes none of them.
///
/// A short option may have its value attached (`-nNAME`), and short flags may be combined (`-pc`); only the last one
/// can take the next argument.
pub(crate) fn find_arity(name: &str) -> Option<Arity> {
    let known = |name: &str| OPTIONS.iter().find(|(option, _)| *option == name).map(|(_, arity)| *arity);
    if name.starts_with("--") || name.len() == 2 {
        return known(name);
    }
    for (at, letter) in name.char_indices().skip(1) {
        if let Some(arity) = known(&format!("-{letter}")) {
            let attached = at + letter.len_utf8() < name.len();
            return (!attached).then_some(arity);
        }
    }
    None
}

/// Returns whether an argument is an option rather than a value.
pub(crate) fn is_option(argument: &OsStr) -> bool {
    argument.as_encoded_bytes().starts_with(b"-") && argument.len() > 1
}
