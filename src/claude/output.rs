//! What Claude Code prints about itself.

use std::{path::Path, process::Command, time::Duration};

use crate::base::output;

/// How long it may take to print its help. It was seen to take two seconds on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(10);
/// An option that every version has. An output without it isn't the help.
const EVERY_HELP: &str = "--print";

/// Returns the output of Claude Code's `--help` or `--version`, or `None` if it can't be started or doesn't end in time.
pub(crate) fn read_output(program: &Path, argument: &str) -> Option<String> {
    let output = output::output(Command::new(program).arg(argument), TIMEOUT).ok()??;
    Some(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// Returns the options in Claude Code's help, with their dashes, or `None` if it can't be read.
pub(crate) fn listed_options(program: &Path) -> Option<Vec<String>> {
    let options = options_in(&read_output(program, "--help")?);
    options.iter().any(|option| option == EVERY_HELP).then_some(options)
}

fn options_in(help: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let words = help.split(|c: char| !is_name(c)).filter(|word| word.starts_with('-'));
    words.filter(|word| word.len() > 1 && word.chars().any(char::is_alphanumeric)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_a_help() {
        let help =
            "  -c, --continue   Continue\n  --tools, --toolset <tools...>\n (e.g. --debug='!x') - a --x[-file] --\n";
        assert_eq!(options_in(help), ["-c", "--continue", "--tools", "--toolset", "--debug", "--x", "-file"]);
    }
}
