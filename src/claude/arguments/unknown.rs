//! Finds options among the arguments, without parsing a request.

use std::ffi::{OsStr, OsString};

use super::{
    all_options, has_print, is_help_or_version, parse_command, takes_value,
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

/// Returns where the arguments have options that are not in the table, up to a command without a model.
pub(crate) fn find_unknown(arguments: &[OsString]) -> Vec<usize> {
    let mut may_be_command = !has_print(arguments);
    let mut unknown = Vec::new();
    for Part { at, role } in walk(arguments) {
        match role {
            Role::End => break,
            Role::Word => {
                let word = arguments[at].to_string_lossy();
                let may_be_command = std::mem::take(&mut may_be_command);
                // One that is not supported is refused anyway.
                if may_be_command && !matches!(parse_command(&word, at == 0, &arguments[at + 1..]), Ok(None)) {
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

/// Returns the last `--model` among the arguments.
pub(crate) fn find_model(arguments: &[OsString]) -> Option<OsString> {
    let values = walk(arguments).filter_map(|Part { role, .. }| match role {
        Role::Option(CommandOption { name, inline, values, .. }) if name == "--model" => {
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
            "- -p",
        ] {
            assert!(unknown(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn last_model_is_found() {
        let model = |line: &str| find_model(&words(line)).and_then(|model| model.into_string().ok());
        assert_eq!(model("-p --model a x --model=b").as_deref(), Some("b"));
        assert_eq!((model("-n --model x"), model("-p -- --model x"), model("--model")), (None, None, None));
    }
}
