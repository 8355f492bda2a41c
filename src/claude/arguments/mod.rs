//! Claude Code's command line, as far as a launcher must understand it: `--model`, `--settings`, and which of its
//! commands need a model, need Anthropic's cloud, or would outlive the session.
//!
//! As of Claude Code 2.1.331. An option that is not in the table is taken to have no value, and is passed on.

mod table;

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use crate::base::error::{Code, Failure, Result};
use table::{
    FLAGS, OPTIONS,
    Takes::{self, Many, One, Perhaps},
    UNLISTED,
};

/// Claude Code's names for its own models; any other `--model` is a local one.
const ALIASES: &[&str] = &["sonnet", "opus", "haiku", "fable", "default", "best", "opusplan"];

/// Commands that speak to no model, wherever they stand among the options.
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

/// Those that are commands only as the very first word; anywhere else Claude Code takes them for a prompt.
const DIRECT_IF_FIRST: &[&str] = &["kill", "logs", "rm", "stop"];
const REFUSED_IF_FIRST: &[&str] = &["attach", "respawn", "rc", "remote-control"];

const CLOUD: &str = "it runs in Anthropic's cloud, not on a model of yours";
const OUTLIVES: &str = "it would go on after lclaude has ended the backend";

/// Options and commands that a local session cannot serve.
const REFUSED: &[(&str, &str)] = &[
    ("--cloud", CLOUD),
    ("--teleport", CLOUD),
    ("--remote", CLOUD),
    ("--remote-control", CLOUD),
    ("--rc", CLOUD),
    ("--environment", CLOUD),
    ("--desktop", "the Claude Desktop app knows nothing of your backend"),
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

/// What Claude Code is asked to do.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// A session, for which a backend is needed.
    Session(Session),
    /// Something that needs none: Claude Code runs at once, with the arguments as they came.
    Direct,
}

/// The arguments of a session, less those that lclaude acts on itself.
#[derive(Debug, Default, PartialEq)]
pub struct Session {
    pub arguments: Vec<OsString>,
    /// A local model's name.
    pub model: Option<String>,
    /// The user's `--settings`: a file or JSON.
    pub settings: Option<OsString>,
}

/// # Errors
/// `Usage` for what a local session cannot serve, and for `--model` or `--settings` without a value.
pub fn read(arguments: &[OsString]) -> Result<Request> {
    let mut session = Session::default();
    let mut rest = arguments.iter().peekable();
    let mut alias_at = None;
    // With --print, every word that is no option's value is part of the prompt.
    let mut command_possible = !prints(arguments);
    while let Some(argument) = rest.next() {
        // Only names are looked at; a value that is not UTF-8 is taken from the argument itself.
        let word = &*argument.to_string_lossy();
        if word == "--" {
            session.arguments.push(argument.clone());
            session.arguments.extend(rest.cloned());
            break;
        }
        if !word.starts_with('-') || word == "-" {
            let at = arguments.len() - rest.len() - 1;
            if std::mem::take(&mut command_possible)
                && let Some(request) = command(word, at == 0, &arguments[at + 1..])?
            {
                return Ok(request);
            }
            session.arguments.push(argument.clone());
            continue;
        }
        let (name, inline) = match word.split_once('=') {
            Some((name, _)) if word.starts_with("--") => {
                let equals = argument.as_bytes().iter().position(|&byte| byte == b'=');
                (name, equals.map(|at| OsStr::from_bytes(&argument.as_bytes()[at + 1..])))
            }
            _ => (word, None),
        };
        if asks_about_itself(name) {
            return Ok(Request::Direct);
        }
        refuse(name)?;
        if name == "--model" || name == "--settings" {
            let value = match inline {
                Some(value) => OsString::from(value),
                None => rest.next().cloned().ok_or_else(|| unfinished(name))?,
            };
            if name == "--settings" {
                session.settings = Some(value);
            } else if is_alias(&value) {
                // A tier, whichever local model is behind it.
                alias_at = Some(session.arguments.len());
                session.arguments.extend(["--model".into(), value]);
            } else {
                // The last one counts, as for Claude Code.
                if let Some(at) = alias_at.take() {
                    session.arguments.drain(at..at + 2);
                }
                session.model = Some(text(value)?);
            }
            continue;
        }
        session.arguments.push(argument.clone());
        let takes = if inline.is_some() { None } else { takes(name) };
        match takes {
            Some(One) => session.arguments.push(rest.next().cloned().ok_or_else(|| unfinished(name))?),
            Some(Perhaps) => session.arguments.extend(rest.next_if(|next| !is_option(next)).cloned()),
            Some(Many) => {
                // The first value is taken as it is.
                session.arguments.push(rest.next().cloned().ok_or_else(|| unfinished(name))?);
                while let Some(value) = rest.next_if(|next| !is_option(next)) {
                    session.arguments.push(value.clone());
                }
            }
            None => {}
        }
    }
    Ok(Request::Session(session))
}

fn unfinished(name: &str) -> Failure {
    Failure::new(Code::Usage, format!("{name} needs a value"))
        .why("it is the last word of the command line")
        .help(format!("{name} VALUE"))
}

/// Whether Claude Code is known to have an option of this name.
pub fn is_known(name: &str) -> bool {
    FLAGS.contains(&name) || OPTIONS.iter().any(|(option, _)| *option == name) || asks_about_itself(name)
}

/// The options that Claude Code's help has and a local session can serve, as they are typed.
pub fn options() -> impl Iterator<Item = &'static str> {
    let all = OPTIONS.iter().map(|(name, _)| *name).chain(FLAGS.iter().copied());
    all.filter(|name| name.starts_with("--") && !UNLISTED.contains(name) && !is_refused(name))
}

/// Its commands, likewise.
pub fn commands() -> impl Iterator<Item = &'static str> {
    DIRECT.iter().chain(DIRECT_IF_FIRST).copied()
}

fn is_refused(name: &str) -> bool {
    REFUSED.iter().any(|(refused, _)| *refused == name)
}

/// What a word means that may be a command, when it is the `first` of all and `rest` follows it.
fn command(word: &str, first: bool, rest: &[OsString]) -> Result<Option<Request>> {
    let lists = word == "agents" && rest.iter().any(|argument| argument == "--json");
    let explains = rest.iter().any(|argument| argument == "--help" || argument == "-h");
    let refused = is_refused(word);
    // It runs sessions, to judge a plugin by.
    let evaluates = word.starts_with("plugin") && rest.first().is_some_and(|verb| verb == "eval");
    // Only this one of its commands asks a model.
    let critique = word == "auto-mode" && rest.first().is_some_and(|verb| verb == "critique");
    let direct = (DIRECT.contains(&word) && !evaluates && !critique) || (first && DIRECT_IF_FIRST.contains(&word));
    if direct || lists || (explains && refused) {
        return Ok(Some(Request::Direct));
    }
    if first || !REFUSED_IF_FIRST.contains(&word) {
        refuse(word)?;
    }
    Ok(None)
}

/// Whether `-p` or `--print` stands before a `--`, alone or among other short flags.
fn prints(arguments: &[OsString]) -> bool {
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

fn refuse(name: &str) -> Result<()> {
    match REFUSED.iter().find(|(refused, _)| *refused == name) {
        None => Ok(()),
        Some((name, reason)) => Err(Failure::new(Code::Usage, format!("claude {name} cannot run on a local model"))
            .why(*reason)
            .help(format!("claude {name} runs it without lclaude"))),
    }
}

fn asks_about_itself(name: &str) -> bool {
    matches!(name, "--help" | "-h" | "--version" | "-v")
}

/// A short option may have its value attached (`-nNAME`), or be several flags at once (`-pc`); of those only the last
/// can take what follows.
fn takes(name: &str) -> Option<Takes> {
    let known = |name: &str| OPTIONS.iter().find(|(option, _)| *option == name).map(|(_, takes)| *takes);
    if name.starts_with("--") || name.len() == 2 {
        return known(name);
    }
    for (at, letter) in name.char_indices().skip(1) {
        if let Some(takes) = known(&format!("-{letter}")) {
            let attached = at + letter.len_utf8() < name.len();
            return (!attached).then_some(takes);
        }
    }
    None
}

fn is_option(argument: &OsStr) -> bool {
    argument.as_encoded_bytes().starts_with(b"-") && argument.len() > 1
}

fn is_alias(model: &OsStr) -> bool {
    let model = model.to_str().unwrap_or_default();
    // There is no `default[1m]`: Claude Code asks the backend for it.
    let tier = model.strip_suffix("[1m]").filter(|tier| *tier != "default");
    ALIASES.contains(&tier.unwrap_or(model))
}

fn text(value: OsString) -> Result<String> {
    value.into_string().map_err(|value| {
        Failure::new(Code::Usage, format!("the model's name {} is not UTF-8", value.display()))
            .why("llama-server is told it as text")
            .help("name the file, or a link to it, in UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(line: &str) -> Session {
        match read(&words(line)).expect("a good command line") {
            Request::Session(session) => session,
            Request::Direct => panic!("{line} was taken for a command without a model"),
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
    fn a_local_model_is_taken_out_and_an_alias_is_passed_on() {
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
    fn an_option_without_its_value_is_an_error() {
        for line in ["-p x --append-system-prompt", "--allowedTools", "--model", "-n"] {
            assert_eq!(read(&words(line)).expect_err(line).code, Code::Usage, "{line}");
        }
        assert_eq!(session("-p x --debug").arguments, words("-p x --debug"));
    }

    #[test]
    fn what_comes_after_two_dashes_is_text() {
        let session = session("-p -- --model x --settings y --help");
        assert_eq!((session.model, session.settings), (None, None));
    }

    #[test]
    fn values_are_not_commands() {
        for line in ["-n mcp", "--append-system-prompt doctor", "-r stop", "--tools mcp -p", "hello mcp"] {
            assert_eq!(session(line).arguments, words(line), "{line}");
        }
    }

    #[test]
    fn commands_without_a_model_run_at_once() {
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
            assert_eq!(read(&words(line)), Ok(Request::Direct), "{line}");
        }
    }

    #[test]
    fn what_needs_the_cloud_is_refused() {
        for line in
            ["--cloud", "--teleport=x", "-p --bg hello", "agents", "attach 1", "ultrareview", "--remote-control"]
        {
            let refused = read(&words(line)).expect_err(line);
            assert_eq!(refused.code, Code::Usage, "{line}");
        }
    }

    /// Seen: Claude Code takes each of these for a prompt, and would send it wherever it is told to.
    #[test]
    fn a_word_that_claude_code_takes_for_a_prompt_is_a_session() {
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
    fn the_last_settings_count() {
        assert_eq!(session("--settings a -p --settings b").settings, Some("b".into()));
    }
}
