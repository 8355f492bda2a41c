//! Parses Claude Code's command line as far as a launcher needs to: `--model`, `--settings`, and which commands need a
//! model, need Anthropic's cloud, or would outlive the session.
//!
//! As of Claude Code 2.1.331. An option that is not in the table is passed on and assumed to take no value.

mod shape;
mod table;
pub(crate) mod unknown;
mod walk;

use std::ffi::{OsStr, OsString};

use crate::base::error::{Code, Failure, Result};
pub(crate) use shape::prompt_options;
use table::{FLAGS, OPTIONS, UNLISTED};
use walk::{CommandOption, Part, Role, walk};

/// Claude Code's model aliases; any other `--model` is a local model.
const ALIASES: &[&str] = &["sonnet", "opus", "haiku", "fable", "default", "best", "opusplan"];

/// Commands that use no model, at any position among the options.
const DIRECT: &[&str] = &[
    "auth",
    "auto-mode",
    "doctor",
    "gateway",
    "import",
    "install",
    "mcp",
    "plugin",
    "plugins",
    "project",
    "purge",
    "setup-token",
    "update",
    "upgrade",
];

/// Commands that use no model, and are commands only as the first argument; elsewhere they are a prompt.
const DIRECT_IF_FIRST: &[&str] = &["kill", "logs", "rm", "stop"];
/// Unsupported commands that are a prompt unless they are the first argument.
const UNSUPPORTED_IF_FIRST: &[&str] = &["attach", "respawn", "rc", "remote-control"];

const CLOUD: &str = "it runs in Anthropic's cloud";
const OUTLIVES: &str = "it would keep running after lclaude stops the backend";

/// Options and commands that can't run on a local model, with the reason.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("--cloud", CLOUD),
    ("--teleport", CLOUD),
    ("--remote", CLOUD),
    ("--remote-control", CLOUD),
    ("--rc", CLOUD),
    ("--environment", CLOUD),
    ("--desktop", "the Claude Desktop app does not use your backend"),
    ("--bg", OUTLIVES),
    ("--background", OUTLIVES),
    ("--tmux", OUTLIVES),
    ("agents", OUTLIVES),
    ("attach", OUTLIVES),
    ("rc", CLOUD),
    ("remote-control", CLOUD),
    ("respawn", OUTLIVES),
    ("ultrareview", CLOUD),
];

/// What a command line asks Claude Code to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    /// Run a session, which needs a backend.
    Session(SessionRequest),
    /// Run Claude Code directly with unchanged arguments; no backend is needed.
    Direct,
}

/// The arguments of a session, without those that lclaude handles.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct SessionRequest {
    pub arguments: Vec<OsString>,
    /// A local model's name.
    pub model: Option<String>,
    /// The user's `--settings`: a file or JSON.
    pub settings: Option<OsString>,
}

impl SessionRequest {
    /// Sets the model. `alias_at`: where `arguments` has the alias of an earlier `--model`.
    fn set_model(&mut self, value: OsString, alias_at: &mut Option<usize>) -> Result<()> {
        if is_alias(&value) {
            // An alias selects a tier, which is mapped to a local model.
            *alias_at = Some(self.arguments.len());
            self.arguments.extend(["--model".into(), value]);
        } else {
            // The last --model wins, as in Claude Code.
            if let Some(at) = alias_at.take() {
                self.arguments.drain(at..at + 2);
            }
            self.model = Some(model_name(value)?);
        }
        Ok(())
    }
}

/// The values of options that come before Claude Code's arguments.
#[derive(Debug, Default)]
pub(crate) struct EarlierOptions<'a> {
    pub models: &'a [OsString],
    pub settings: Option<&'a OsString>,
}

/// Parses Claude Code's arguments, which come after `earlier` options.
///
/// # Errors
/// `Usage` for options and commands that can't run on a local model, and for an option without its value.
pub(crate) fn parse(earlier: &EarlierOptions, arguments: &[OsString]) -> Result<Request> {
    let mut session = SessionRequest { settings: earlier.settings.cloned(), ..SessionRequest::default() };
    let mut alias_at = None;
    for model in earlier.models {
        session.set_model(model.clone(), &mut alias_at)?;
    }
    let has_earlier = !earlier.models.is_empty() || earlier.settings.is_some();
    // With --print, every word that isn't an option or its value is part of the prompt.
    let mut may_be_command = !has_print(arguments);
    for Part { at, role } in walk(arguments) {
        match role {
            Role::End => session.arguments.extend_from_slice(&arguments[at..]),
            Role::Word => {
                let word = arguments[at].to_string_lossy();
                if std::mem::take(&mut may_be_command)
                    && let Some(request) = parse_command(&word, at == 0 && !has_earlier, &arguments[at + 1..])?
                {
                    return Ok(request);
                }
                session.arguments.push(arguments[at].clone());
            }
            Role::Option(CommandOption { name, .. }) if is_help_or_version(&name) => return Ok(Request::Direct),
            Role::Option(CommandOption { name, inline, values, is_incomplete }) => {
                check_supported(&name)?;
                if is_incomplete {
                    return Err(missing_value(&name));
                }
                let value = || inline.unwrap_or_else(|| &arguments[values.start]).to_owned();
                match &*name {
                    "--settings" => session.settings = Some(value()),
                    "--model" => session.set_model(value(), &mut alias_at)?,
                    _ => session.arguments.extend_from_slice(&arguments[at..values.end]),
                }
            }
        }
    }
    Ok(Request::Session(session))
}

fn missing_value(name: &str) -> Failure {
    Failure::new(Code::Usage, format!("{name} requires a value"))
        .cause("it is the last argument")
        .help(format!("lclaude {name} VALUE"))
}

/// Returns the long options in Claude Code's help that work on a local model, with their dashes.
pub(crate) fn options() -> impl Iterator<Item = &'static str> {
    all_options().filter(|name| name.starts_with("--") && !UNLISTED.contains(name) && !is_unsupported(name))
}

/// Returns all options of Claude Code in the table, with their dashes.
pub(crate) fn all_options() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().map(|(name, _)| *name).chain(FLAGS.iter().copied())
}

/// Returns the commands of Claude Code that work without a model.
pub(crate) fn commands() -> impl Iterator<Item = &'static str> {
    DIRECT.iter().chain(DIRECT_IF_FIRST).copied()
}

fn is_unsupported(name: &str) -> bool {
    UNSUPPORTED.iter().any(|(unsupported, _)| *unsupported == name)
}

/// Returns the request of a word that may be a command, or `None` if it is part of a prompt.
///
/// `first`: whether it is the first argument. `rest`: the arguments after it.
fn parse_command(word: &str, first: bool, rest: &[OsString]) -> Result<Option<Request>> {
    let lists_agents = word == "agents" && rest.iter().any(|argument| argument == "--json");
    let has_help = rest.iter().any(|argument| argument == "--help" || argument == "-h");
    let direct = (DIRECT.contains(&word) && !uses_model(word, rest)) || (first && DIRECT_IF_FIRST.contains(&word));
    if direct || lists_agents || (has_help && is_unsupported(word)) {
        return Ok(Some(Request::Direct));
    }
    if first || !UNSUPPORTED_IF_FIRST.contains(&word) {
        check_supported(word)?;
    }
    Ok(None)
}

/// Whether a command uses a model although it is in [`DIRECT`]: `plugin eval` runs sessions to evaluate a plugin, and
/// `auto-mode critique` asks a model.
fn uses_model(word: &str, rest: &[OsString]) -> bool {
    let subcommand = match word {
        "plugin" | "plugins" => "eval",
        "auto-mode" => "critique",
        _ => return false,
    };
    rest.first().is_some_and(|first| first == subcommand)
}

/// Whether `-p` or `--print` is given before a `--`, alone or combined with other short flags.
pub(crate) fn has_print(arguments: &[OsString]) -> bool {
    let words = arguments.iter().map(|argument| argument.to_string_lossy()).take_while(|word| word != "--");
    words.into_iter().any(|word| {
        let flags = word.strip_prefix('-').filter(|flags| !flags.starts_with('-') && word.len() > 1);
        let flags = flags.map(|flags| flags.chars().take_while(|flag| !takes_value(*flag)).any(|flag| flag == 'p'));
        word == "--print" || flags == Some(true)
    })
}

fn takes_value(flag: char) -> bool {
    OPTIONS.iter().any(|(option, _)| option.strip_prefix('-').is_some_and(|name| name.chars().eq([flag])))
}

fn check_supported(name: &str) -> Result<()> {
    match UNSUPPORTED.iter().find(|(unsupported, _)| *unsupported == name) {
        None => Ok(()),
        Some((name, reason)) => Err(Failure::new(Code::Usage, format!("claude {name} cannot run on a local model"))
            .cause(*reason)
            .help(format!("claude {name}"))),
    }
}

fn is_help_or_version(name: &str) -> bool {
    matches!(name, "--help" | "-h" | "--version" | "-v")
}

/// Whether `model` is one of Claude Code's aliases, which select a tier, and not a model of the backend.
pub(crate) fn is_alias(model: &OsStr) -> bool {
    let model = model.to_str().unwrap_or_default();
    // `default[1m]` isn't an alias: Claude Code requests a model of that name.
    let tier = model.strip_suffix("[1m]").filter(|tier| *tier != "default");
    ALIASES.contains(&tier.unwrap_or(model))
}

fn model_name(value: OsString) -> Result<String> {
    value.into_string().map_err(|value| {
        Failure::new(Code::Usage, format!("invalid model name {}", value.display()))
            .cause("model names and paths must be valid UTF-8")
            .help("rename the model file, or create a symlink with a UTF-8 name")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(line: &str) -> SessionRequest {
        match parse(&EarlierOptions::default(), &words(line)).expect("a valid command line") {
            Request::Session(session) => session,
            Request::Direct => panic!("{line} is a command without a model"),
        }
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn arguments_keep_their_order() {
        for line in ["-p hello --verbose", "-c", "--resume -p", "--allowedTools Bash Edit -- mcp", "fix --the bug"] {
            assert_eq!(session(line).arguments, words(line), "{line}");
        }
    }

    #[test]
    fn local_model_is_removed_and_alias_is_passed_on() {
        let local = session("-p --model qwen3:4b hello");
        assert_eq!((local.model.as_deref(), local.arguments), (Some("qwen3:4b"), words("-p hello")));
        let local = session("--model=x.gguf");
        assert_eq!((local.model.as_deref(), local.arguments), (Some("x.gguf"), words("")));
        for alias in ["opus", "sonnet[1m]"] {
            let cloud = session(&format!("--model {alias}"));
            assert_eq!((cloud.model, cloud.arguments), (None, words(&format!("--model {alias}"))));
        }
    }

    #[test]
    fn missing_value_is_an_error() {
        for line in ["-p x --append-system-prompt", "--allowedTools", "--model", "-n"] {
            assert_eq!(parse(&EarlierOptions::default(), &words(line)).expect_err(line).code, Code::Usage, "{line}");
        }
        assert_eq!(session("-p x --debug").arguments, words("-p x --debug"));
    }

    #[test]
    fn arguments_after_double_dash_are_text() {
        let session = session("-p -- --model x --settings y --help");
        assert_eq!((session.model, session.settings), (None, None));
    }

    #[test]
    fn option_values_and_later_words_are_not_commands() {
        for line in ["-n mcp", "--append-system-prompt doctor", "-r stop", "--tools mcp -p", "hello mcp"] {
            assert_eq!(session(line).arguments, words(line), "{line}");
        }
    }

    #[test]
    fn commands_without_a_model_run_directly() {
        for line in [
            "mcp add --model x",
            "doctor",
            "--debug-file f update",
            "agents --json",
            "-p --help",
            "-v",
            "agents --help",
            "auto-mode defaults",
        ] {
            assert_eq!(parse(&EarlierOptions::default(), &words(line)), Ok(Request::Direct), "{line}");
        }
    }

    #[test]
    fn cloud_and_background_commands_are_refused() {
        for line in
            ["--cloud", "--teleport=x", "-p --bg hello", "agents", "attach 1", "ultrareview", "--remote-control"]
        {
            let failure = parse(&EarlierOptions::default(), &words(line)).expect_err(line);
            assert_eq!(failure.code, Code::Usage, "{line}");
        }
    }

    /// Seen in Claude Code 2.1.331: each of these sends a prompt to a model.
    #[test]
    fn words_that_claude_code_reads_as_a_prompt_start_a_session() {
        for line in [
            "-p stop",
            "-p mcp list",
            "mcp -p",
            "-cp doctor",
            "--verbose stop",
            "--verbose attach",
            "plugin eval x",
            "auto-mode critique",
        ] {
            assert_eq!(session(line).arguments, words(line), "{line}");
        }
        assert_eq!(session("--model x stop").arguments, words("stop"));
    }

    #[test]
    fn last_settings_win() {
        assert_eq!(session("--settings a -p --settings b").settings, Some("b".into()));
    }
}
