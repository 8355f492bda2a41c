//! lclaude's own options, read from clap.

use std::ffi::{OsStr, OsString};

use crate::claude::arguments::unknown::is_known_option;

/// One of lclaude's own options.
#[derive(Debug, Clone)]
pub(super) struct OwnOption {
    /// With its dashes.
    pub names: Vec<String>,
    /// The name of the value in the next argument, or `None` if it takes none there.
    pub value: Option<String>,
}

/// Returns the options of lclaude's `command`, including those that Claude Code has too.
pub(super) fn all(command: &clap::Command) -> Vec<OwnOption> {
    let options = command.get_arguments().filter(|argument| !argument.is_positional());
    let own = |argument: &clap::Arg| {
        let long = argument.get_long().map(|name| format!("--{name}"));
        let short = argument.get_short().map(|name| format!("-{name}"));
        let takes_next = argument.get_action().takes_values() && !argument.is_require_equals_set();
        let value = argument.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
        OwnOption { names: long.into_iter().chain(short).collect(), value: value.filter(|_| takes_next) }
    };
    options.map(own).collect()
}

/// Returns those that Claude Code doesn't have.
pub(super) fn only_ours(command: &clap::Command) -> Vec<OwnOption> {
    let mut options = all(command);
    options.retain(|option| !option.names.iter().any(|name| is_known_option(name)));
    options
}

/// Returns the option that an argument gives.
pub(super) fn find<'a>(options: &'a [OwnOption], argument: &OsStr) -> Option<&'a OwnOption> {
    let text = argument.to_string_lossy();
    let name = name_of(&text);
    options.iter().find(|option| option.names.iter().any(|known| known == name))
}

/// Returns the name of a long option without its value after `=`.
pub(super) fn name_of(argument: &str) -> &str {
    argument.split_once('=').map_or(argument, |(name, _)| name)
}

impl OwnOption {
    /// Returns the words of this option at the start of `arguments`, with its value, and whether the value is there.
    pub(super) fn words<'a>(&self, arguments: &'a [OsString]) -> (&'a [OsString], bool) {
        let is_inline = arguments.first().is_some_and(|argument| argument.as_encoded_bytes().contains(&b'='));
        if self.value.is_none() || is_inline {
            return (&arguments[..1], true);
        }
        let has_value = arguments.get(1).is_some_and(|value| !value.as_encoded_bytes().starts_with(b"-"));
        (&arguments[..if has_value { 2 } else { 1 }], has_value)
    }
}
