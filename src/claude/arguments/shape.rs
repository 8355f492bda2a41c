//! Which options decide how a session's prompt starts.

use std::ffi::OsString;

use super::walk::{CommandOption, Part, Role, walk};

/// Options that have no influence on the prompt's beginning.
const UNRELATED: &[&str] = &[
    "-c",
    "--continue",
    "-d",
    "--debug",
    "--debug-file",
    "--dangerously-skip-permissions",
    "--fork-session",
    "--include-hook-events",
    "--include-partial-messages",
    "--input-format",
    "--max-budget-usd",
    "--max-turns",
    "-n",
    "--name",
    "--no-session-persistence",
    "--output-format",
    "-r",
    "--replay-user-messages",
    "--resume",
    "--resume-session-at",
    "--session-id",
    "--verbose",
];

/// Options that put the user's own words into the prompt's beginning.
const OWN_WORDS: &[&str] = &[
    "--agent",
    "--agents",
    "--append-system-prompt",
    "--append-system-prompt-file",
    "--plan-mode-instructions",
    "--prefill",
    "--system-prompt",
    "--system-prompt-file",
];

/// Returns the options, with their values, that decide how the prompt starts, in alphabetical order, or `None` if it has
/// words of the user's own.
pub(crate) fn prompt_options(arguments: &[OsString]) -> Option<Vec<String>> {
    let mut options = Vec::new();
    for Part { at, role } in walk(arguments) {
        let Role::Option(CommandOption { name, values, .. }) = role else { continue };
        if OWN_WORDS.contains(&&*name) {
            return None;
        }
        if !UNRELATED.contains(&&*name) {
            let mut words = arguments[at..values.end].iter().map(|word| word.to_string_lossy().into_owned());
            let first = words.next().filter(|word| word != "--print").unwrap_or_else(|| "-p".into());
            options.push(words.fold(first, |option, value| format!("{option}\0{value}")));
        }
    }
    options.sort_unstable();
    Some(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Option<Vec<String>> {
        prompt_options(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn prompt_and_unrelated_options_do_not_count() {
        let print = options("-p hello");
        assert_eq!(print.as_deref(), Some(&["-p".to_owned()][..]));
        for same in [
            "-p",
            "--print x",
            "one -p two three",
            "-p --output-format json x",
            "-p -c",
            "-p --resume abc x",
            "-p -- --tools X",
        ] {
            assert_eq!(options(same), print, "{same}");
        }
        for other in ["", "-p --tools Bash", "-p --tools Bash Read", "-p --tools=Read", "-p --mcp-config a.json"] {
            assert_ne!(options(other), print, "{other}");
        }
        assert_eq!(options("--tools Read -p x"), options("-p --tools Read -- x"));
    }

    #[test]
    fn own_words_in_the_system_prompt_are_left_alone() {
        for own in ["--append-system-prompt secret", "--system-prompt=secret", "-p --agents {} x"] {
            assert_eq!(options(own), None, "{own}");
        }
    }
}
