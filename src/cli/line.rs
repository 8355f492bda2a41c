//! Command lines for helps: what the user typed, corrected or with another option.

use std::ffi::{OsStr, OsString};

use super::{
    command::SessionArguments,
    local,
    own::{self, OwnOption},
};
use crate::{
    base::{
        error::{Failure, RETRY_HELP},
        ui,
    },
    claude::arguments,
};

/// Characters of a word that are shown, since a prompt may be very long.
const MAX_WORD: usize = 200;

/// The typed options that a help repeats: without them, its command would use another backend or model.
const REPEATED: &[&str] =
    &["--backend", "--url", "--profile", "--model", "--context", "--lean", "--toolset", "--throwaway", "--config"];

/// Options that make others useless: a model of one backend is none of another.
const EXCLUSIVE: &[(&[&str], &[&str])] = &[
    (&["--backend", "--url"], &["--backend", "--url", "--profile", "--model"]),
    (&["--lean", "--toolset"], &["--lean", "--toolset"]),
];

/// Verbs that use a backend, so that a help for a session applies to them too.
const VERBS: &[&str] = &["doctor", "env", "run", "serve", "setup"];

/// Returns the first characters of a word.
pub(super) fn shorten(word: &str) -> String {
    ui::shorten(word, MAX_WORD)
}

/// Returns words as a shell reads them.
pub(super) fn quote(words: &[OsString]) -> String {
    let mut previous = OsStr::new("");
    let shown = words.iter().map(|word| {
        // Settings may contain secrets.
        let is_settings = previous == "--settings" || word.as_encoded_bytes().starts_with(b"--settings=");
        previous = word;
        let word = word.to_string_lossy();
        match word.find('{').filter(|_| is_settings) {
            Some(brace) => format!("{}{{…}}", &word[..brace]),
            None => shorten(&word),
        }
    });
    ui::quote_command(shown)
}

/// Returns the command line of lclaude with these arguments.
pub(super) fn of(arguments: &[OsString]) -> String {
    match quote(arguments) {
        words if words.is_empty() => "lclaude".into(),
        words => format!("lclaude {words}"),
    }
}

/// Returns the typed line without some of lclaude's options that take no value in the next argument.
pub(crate) fn without(names: &[&str], typed: &SessionArguments) -> String {
    let own = typed.own.iter().filter(|word| !names.contains(&own::name_of(&word.to_string_lossy())));
    of(&own.chain(&typed.claude).cloned().collect::<Vec<_>>())
}

/// Completes the commands in a failure's helps, so that they do what the user typed and not something else.
pub(crate) fn complete_helps(arguments: &[OsString], mut failure: Failure) -> Failure {
    if failure.help.iter().any(|help| help.starts_with("lclaude -") || help.starts_with(RETRY_HELP)) {
        let typed = Typed::read(arguments);
        failure.help = failure.help.into_iter().map(|help| typed.complete(help)).collect();
    }
    failure
}

/// What the user typed, as far as helps repeat it.
struct Typed<'a> {
    arguments: &'a [OsString],
    /// Names with their words, in order.
    options: Vec<(String, Vec<OsString>)>,
    /// The verb of `lclaude local`.
    verb: Option<String>,
    /// The other arguments of the verb.
    others: Vec<OsString>,
}

impl<'a> Typed<'a> {
    fn read(arguments: &'a [OsString]) -> Self {
        let own = own::all();
        let mut typed = Typed { arguments, options: Vec::new(), verb: None, others: Vec::new() };
        let rest = typed.read_options(&own, arguments);
        match rest {
            [local, verb, more @ ..] if local == local::NAME => {
                typed.verb = verb.to_str().map(str::to_owned);
                let mut rest = typed.read_options(&own, more);
                while let Some((other, more)) = rest.split_first().filter(|(other, _)| *other != "--") {
                    typed.others.push(other.clone());
                    rest = typed.read_options(&own, more);
                }
                typed.others.extend_from_slice(rest);
            }
            claude => {
                let model = arguments::find_model(claude).map(|model| vec!["--model".into(), model]);
                typed.options.extend(model.map(|words| ("--model".to_owned(), words)));
            }
        }
        typed
    }

    /// Reads the options at the start of `arguments`, and returns the rest.
    fn read_options(&mut self, own: &[OwnOption], mut arguments: &'a [OsString]) -> &'a [OsString] {
        while let Some(option) = arguments.first().and_then(|argument| own::find(own, argument)) {
            let (words, is_complete) = option.words(arguments);
            if is_complete {
                self.options.push((option.names[0].clone(), words.to_vec()));
            }
            arguments = &arguments[words.len()..];
        }
        arguments
    }

    fn complete(&self, help: String) -> String {
        if let Some(purpose) = help.strip_prefix(RETRY_HELP) {
            let purpose = if purpose.is_empty() { String::new() } else { format!("  #{purpose}") };
            return format!("{}{purpose}", of(self.arguments));
        }
        let (command, comment) = help.split_at(help.find("  # ").unwrap_or(help.len()));
        let Some(options) = command.strip_prefix("lclaude ").filter(|options| options.starts_with('-')) else {
            return help;
        };
        let names: Vec<&str> =
            options.split_whitespace().filter(|word| word.starts_with('-')).map(own::name_of).collect();
        if matches!(names[0], "--" | "--help" | "-h" | "--version" | "-v") {
            return help;
        }
        let has = |options: &[&str]| options.iter().any(|option| names.contains(option));
        let kept = self.options.iter().enumerate().filter(|(at, (name, _))| {
            let is_last = !self.options[at + 1..].iter().any(|(later, _)| later == name);
            let is_excluded = EXCLUSIVE.iter().any(|(by, useless)| {
                // Another backend replaces only a typed one.
                let is_replaced = self.options.iter().any(|(typed, _)| by.contains(&typed.as_str()));
                has(by) && is_replaced && useless.contains(&name.as_str())
            });
            REPEATED.contains(&name.as_str()) && is_last && !names.contains(&name.as_str()) && !is_excluded
        });
        let kept: Vec<OsString> = kept.flat_map(|(_, (_, words))| words.clone()).collect();
        let (verb, others) = match self.verb.as_deref().filter(|verb| takes(verb, &names)) {
            Some(verb) => (vec![local::NAME.into(), verb.into()], &self.others[..]),
            None => (Vec::new(), &[][..]),
        };
        let mut line = of(&[verb, kept].concat());
        line = format!("{line} {options}");
        if !others.is_empty() {
            line = format!("{line} {}", quote(others));
        }
        line + comment
    }
}

/// Returns whether a verb takes all of these options.
fn takes(verb: &str, options: &[&str]) -> bool {
    let verbs = local::command();
    let Some(verb) = verbs.find_subcommand(verb).filter(|verb| VERBS.contains(&verb.get_name())) else {
        return false;
    };
    options.iter().all(|option| {
        verb.get_arguments().filter_map(clap::Arg::get_long).any(|known| option.strip_prefix("--") == Some(known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn help_repeats_what_decides_backend_and_model() {
        for (typed, help, complete) in [
            ("-p hi", "lclaude --context 9", "lclaude --context 9"),
            (
                "--backend ollama --model m -p hi",
                "lclaude --context 9",
                "lclaude --backend ollama --model m --context 9",
            ),
            ("-p hi --model m", "lclaude --context 9  # note", "lclaude --model m --context 9  # note"),
            ("--context 5 --yes -c", "lclaude --context 9", "lclaude --context 9"),
            ("--context=5 --model a --model b", "lclaude --lean", "lclaude --context=5 --model b --lean"),
            (
                "--backend ollama --model m",
                "lclaude --backend llamacpp --model x.gguf",
                "lclaude --backend llamacpp --model x.gguf",
            ),
            ("--backend ollama --model m", "lclaude --backend llamacpp", "lclaude --backend llamacpp"),
            ("--model m", "lclaude --backend ollama", "lclaude --model m --backend ollama"),
            ("--backend ollama --lean", "lclaude --toolset all", "lclaude --backend ollama --toolset all"),
            ("--model m", "lclaude --help", "lclaude --help"),
            ("--model m", "lclaude -- -p", "lclaude -- -p"),
            ("--model m", "lclaude local setup", "lclaude local setup"),
            ("--model m", "set context = 1", "set context = 1"),
            ("local serve --model m", "lclaude --context 9", "lclaude local serve --model m --context 9"),
            (
                "local doctor --live --model m",
                "lclaude --context 9",
                "lclaude local doctor --model m --context 9 --live",
            ),
            ("local run --model m -- ls -l", "lclaude --context 9", "lclaude local run --model m --context 9 -- ls -l"),
            ("local serve --model m", "lclaude --lean  # small", "lclaude --model m --lean  # small"),
            ("local stop --model m", "lclaude --context 9", "lclaude --model m --context 9"),
            ("-p hi", RETRY_HELP, "lclaude -p hi"),
        ] {
            assert_eq!(Typed::read(&words(typed)).complete(help.to_owned()), complete, "{typed}");
        }
    }

    #[test]
    fn shown_words_are_short_and_without_secrets() {
        let long = "é".repeat(MAX_WORD + 1);
        let shown = of(&["-p".into(), long.into(), "--settings".into(), r#"{"env": {"KEY": "sk-x"}}"#.into()]);
        assert!(shown.chars().count() < MAX_WORD + 50 && !shown.contains("sk-x"), "{shown}");
        assert_eq!(quote(&words("--settings={x --settings file.json")), "'--settings={…}' --settings file.json");
    }
}
