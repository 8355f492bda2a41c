//! Finds options among the arguments, without parsing a request.

use std::ffi::{OsStr, OsString};

use super::{
    all_options, has_print, is_help_or_version, parse_command, takes_value, uses_model,
    walk::{CommandOption, Part, Role, walk},
};

/// The short options without a value.
const SHORT_FLAGS: &[char] = &['c', 'h', 'p', 'v'];

/// Whether `name` is a known option of Claude Code, or several short ones.
pub(crate) fn is_known_option(name: &str) -> bool {
    if name.starts_with("--") {
        return all_options().any(|option| option == name) || is_help_or_version(name);
    }
    name.chars().skip(1).take_while(|flag| !takes_value(*flag)).all(|flag| SHORT_FLAGS.contains(&flag))
}

/// Returns where the arguments have options that are not in the table, up to a command with options of
/// its own.
pub(crate) fn find_unknown(arguments: &[OsString]) -> Vec<usize> {
    let mut may_be_command = !has_print(arguments);
    let mut unknown = Vec::new();
    for Part { at, role } in walk(arguments) {
        match role {
            Role::End => break,
            Role::Word => {
                let word = arguments[at].to_string_lossy();
                let may_be_command = std::mem::take(&mut may_be_command);
                let rest = &arguments[at + 1..];
                // One that is not supported is refused anyway.
                if may_be_command
                    && (uses_model(&word, rest) || !matches!(parse_command(&word, at == 0, rest), Ok(None)))
                {
                    break;
                }
            }
            Role::Option(CommandOption { name, .. }) if is_help_or_version(&name) => break,
            Role::Option(CommandOption { name, .. }) if is_known_option(&name) => {}
            Role::Option(_) => unknown.push(at),
        }
    }
    unknown
}

/// Whether a program reads or writes the session, such as the Agent SDK. It may use options that Claude Code's help
/// doesn't list, and can't put `--` before them.
pub(crate) fn is_from_program(arguments: &[OsString]) -> bool {
    let formats = ["--input-format", "--output-format"];
    formats.into_iter().any(|name| find_value(arguments, name).is_some_and(|format| format == "stream-json"))
}

/// Returns the last value of an option among the arguments.
pub(crate) fn find_value(arguments: &[OsString], option: &str) -> Option<OsString> {
    let values = walk(arguments).filter_map(|Part { role, .. }| match role {
        Role::Option(CommandOption { name, inline, values, .. }) if name == option => {
            inline.or_else(|| arguments.get(values.start).map(OsString::as_os_str)).map(OsStr::to_owned)
        }
        _ => None,
    });
    values.last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn unknown_options_are_found_where_claude_code_reads_options() {
        let unknown = |line: &str| -> Vec<String> {
            let words = words(line);
            find_unknown(&words).into_iter().map(|at| words[at].to_string_lossy().into_owned()).collect()
        };
        assert_eq!(unknown("-p hi --dry-run -c --foo=1 -x"), ["--dry-run", "--foo=1", "-x"]);
        assert_eq!(unknown("--allowedTools Bash Edit --foo x"), ["--foo"]);
        assert_eq!(unknown("fix --foo mcp add --bar"), ["--foo", "--bar"]);
        for line in [
            "-p hi --verbose -c -pc -nNAME -dapi --max-turns 3",
            "--append-system-prompt --dry-run",
            "--allowedTools --dry-run Bash",
            "-p -- --dry-run",
            "mcp add --transport http --foo x",
            "-c --help --foo",
            "update --foo",
            "plugin eval x --runs 3 --json",
            "--verbose plugins eval x --runs 3",
            "auto-mode critique --foo",
            "- -p",
        ] {
            assert!(unknown(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn streams_are_from_a_program() {
        for (line, expected) in [
            ("--output-format stream-json --foo", true),
            ("-p --input-format=stream-json", true),
            ("-p --output-format json", false),
            ("-p -- --output-format stream-json", false),
            ("-n --output-format stream-json", false),
        ] {
            assert_eq!(is_from_program(&words(line)), expected, "{line}");
        }
    }

    #[test]
    fn last_value_is_found() {
        let model = |line: &str| find_value(&words(line), "--model").and_then(|model| model.into_string().ok());
        assert_eq!(model("-p --model a x --model=b").as_deref(), Some("b"));
        assert_eq!((model("-n --model x"), model("-p -- --model x"), model("--model")), (None, None, None));
    }
}
