//! The tools of a session: which of Claude Code's own are left out, and what the user wants in spite of that.
//!
//! Bytes are of the tools in the first request of Claude Code 2.1.331, 70,660 of them in a terminal and 59,426 with `-p`.
//! A tool that is denied, or switched off by a variable, isn't described to the model (seen).

use std::{ffi::OsString, path::PathBuf};

use serde_json::Value;

use super::variables::Table;
use crate::{base::disk, config::ToolSet};

/// The tools of a lean session, as `--tools` takes them.
pub(crate) const LEAN_TOOLS: &str = "Bash,Edit,Glob,Grep,Read,Write";

/// Tools that belong together, and how to leave them out.
struct Group {
    /// Rules for `permissions.deny`.
    rules: &'static [&'static str],
    /// The variable that switches them off together with the skills that explain them, which a denial doesn't.
    variable: Option<&'static str>,
}

/// What `local` leaves out. Anything else that people use is kept, such as agents, skills, plan mode and worktrees.
const NOT_LOCAL: &[Group] = &[
    // 10,542 bytes: they start a session's next turn at some later time, and reread its conversation then.
    Group {
        rules: &["CronCreate", "CronDelete", "CronList", "ScheduleWakeup"],
        variable: Some("CLAUDE_CODE_DISABLE_CRON"),
    },
    // 5,700 bytes: its agents run at once and give up after 180 s without progress, and one slot serves one at a time.
    Group { rules: &["Workflow"], variable: Some("CLAUDE_CODE_DISABLE_WORKFLOWS") },
    // 8,184 bytes: teams of agents that talk to each other, in sessions side by side or in the cloud. The description of
    // the agent that explains Claude Code asks for SendMessage, and for a web search.
    Group { rules: &["ListAgents", "SendMessage", "Agent(claude-code-guide)"], variable: None },
    // 7,608 bytes: each line of a script's output is a turn of the model. Bash can wait in the background for one event.
    Group { rules: &["Monitor"], variable: None },
    // 2,422 bytes: hands findings to a code review's user interface, which a terminal doesn't have.
    Group { rules: &["ReportFindings"], variable: None },
];

/// Denied in every set, because it runs on Anthropic's servers.
pub(crate) const WEB_SEARCH: &str = "WebSearch";

/// What a session leaves out.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LeftOut {
    /// Rules for `permissions.deny`, sorted.
    pub rules: Vec<&'static str>,
    pub variables: Table,
}

/// The tools that the user asked for, by name.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// Whether `--tools` is given, which lists all tools of the session.
    all: bool,
    names: Vec<String>,
}

impl Named {
    /// Returns what the arguments name with `--tools` and `--allowedTools`, and the settings with `permissions.allow`.
    /// `files` may be missing or invalid.
    pub(crate) fn new<'a>(
        arguments: impl Iterator<Item = &'a OsString>,
        settings: Option<&Value>,
        files: impl Iterator<Item = PathBuf>,
    ) -> Self {
        let mut named = Named::default();
        named.add_arguments(arguments);
        settings.into_iter().for_each(|settings| named.add_settings(settings));
        for file in files {
            let parsed = disk::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
            parsed.iter().for_each(|settings| named.add_settings(settings));
        }
        named
    }

    fn add_arguments<'a>(&mut self, arguments: impl Iterator<Item = &'a OsString>) {
        let mut is_value = false;
        for word in arguments.map(|argument| argument.to_string_lossy()).take_while(|word| word != "--") {
            let (option, inline) = word.split_once('=').map_or((&*word, None), |(name, value)| (name, Some(value)));
            match option {
                "--tools" => self.all = true,
                "--allowedTools" | "--allowed-tools" => {
                    is_value = inline.is_none();
                    inline.into_iter().for_each(|value| self.add_list(value));
                }
                _ if word.starts_with('-') => is_value = false,
                _ if is_value => self.add_list(&word),
                _ => {}
            }
        }
    }

    /// Adds names that are separated by commas or spaces.
    fn add_list(&mut self, list: &str) {
        let names = list.split([',', ' ']).map(str::trim).filter(|name| !name.is_empty());
        self.names.extend(names.map(str::to_owned));
    }

    fn add_settings(&mut self, settings: &Value) {
        let allowed = settings.pointer("/permissions/allow").and_then(Value::as_array);
        self.names.extend(allowed.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    }

    /// Whether a rule's tool is named, with or without a specifier, such as `Monitor(tail:*)`.
    fn has(&self, rule: &str) -> bool {
        let is_tool = |name: &String| name == rule || name.strip_prefix(rule).is_some_and(|rest| rest.starts_with('('));
        self.all || self.names.iter().any(is_tool)
    }

    /// Returns what a session with this set leaves out. The user's own choice wins, for a whole group of tools.
    pub(crate) fn left_out(&self, set: ToolSet) -> LeftOut {
        let mut left_out = LeftOut::default();
        if set == ToolSet::Local {
            for group in NOT_LOCAL.iter().filter(|group| !group.rules.iter().any(|rule| self.has(rule))) {
                left_out.rules.extend(group.rules);
                left_out.variables.extend(group.variable.map(|name| (name.to_owned(), "1".to_owned())));
            }
            left_out.rules.sort_unstable();
        }
        left_out
    }

    /// Whether `--tools` is given.
    pub(crate) fn lists_all(&self) -> bool {
        self.all
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn left_out(set: ToolSet, arguments: &str, settings: &Value) -> Vec<&'static str> {
        let words: Vec<OsString> = arguments.split_whitespace().map(OsString::from).collect();
        Named::new(words.iter(), Some(settings), std::iter::empty()).left_out(set).rules
    }

    #[test]
    fn only_the_local_set_leaves_tools_out() {
        let none = json!({});
        assert!(left_out(ToolSet::Local, "-p x", &none).contains(&"Monitor"));
        assert!(left_out(ToolSet::All, "-p x", &none).is_empty() && left_out(ToolSet::Lean, "-p x", &none).is_empty());
    }

    #[test]
    fn tools_that_the_user_names_are_kept_with_their_group() {
        let none = json!({});
        for (arguments, kept) in [
            ("--allowedTools Bash CronList -p x", vec!["CronCreate", "CronDelete", "CronList", "ScheduleWakeup"]),
            ("--allowed-tools=Monitor(tail:*),Read", vec!["Monitor"]),
            ("-p x --allowedTools Bash -n Monitor", vec![]),
            ("-p -- --allowedTools Monitor", vec![]),
        ] {
            let (all, left) = (left_out(ToolSet::Local, "", &none), left_out(ToolSet::Local, arguments, &none));
            let found: Vec<&str> = all.into_iter().filter(|rule| !left.contains(rule)).collect();
            assert_eq!(found, kept, "{arguments}");
        }
        assert!(left_out(ToolSet::Local, "--tools Bash", &none).is_empty());
        let settings = json!({"permissions": {"allow": ["Workflow", "Bash(ls)"], "deny": ["Monitor"]}});
        let left = left_out(ToolSet::Local, "-p x", &settings);
        assert!(!left.contains(&"Workflow") && left.contains(&"Monitor"), "{left:?}");
    }

    #[test]
    fn a_group_that_is_kept_keeps_its_variable() {
        let words = [OsString::from("--allowedTools=Workflow")];
        let left = Named::new(words.iter(), None, std::iter::empty()).left_out(ToolSet::Local);
        assert_eq!(left.variables.keys().collect::<Vec<_>>(), ["CLAUDE_CODE_DISABLE_CRON"]);
    }
}
