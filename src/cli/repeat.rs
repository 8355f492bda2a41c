//! Completes the commands in helps with what the user typed.

use std::ffi::OsString;

use super::{
    line, local, options,
    own::{self, OwnOption},
};
use crate::{base::error::RETRY_HELP, claude::arguments::unknown::find_value};

/// The typed options that a help repeats: without them, its command would use another backend or model.
const REPEATED: &[&str] =
    &["--backend", "--url", "--profile", "--model", "--context", "--lean", "--toolset", "--throwaway", "--config"];

/// Options that make others useless, if one of some others was typed: another backend doesn't have the model. Another URL
/// in place of a typed one is another address of the same server.
const EXCLUSIVE: &[(&[&str], &[&str], &[&str])] = &[
    (&["--backend"], &["--backend", "--url"], &["--backend", "--url", "--profile", "--model"]),
    (&["--url"], &["--backend"], &["--backend", "--profile", "--model"]),
    (&["--lean", "--toolset"], &["--lean", "--toolset"], &["--lean", "--toolset"]),
];

/// Verbs that use a backend, so that a help for a session applies to them too.
const VERBS: &[&str] = &["env", "run", "serve"];

/// Returns a help whose command does what the user typed, and not something else. `arguments`: what was typed.
pub(crate) fn complete_help(arguments: &[OsString], help: &str) -> String {
    if help.starts_with("lclaude -") || help.starts_with(RETRY_HELP) {
        Typed::read(arguments).complete(help)
    } else {
        help.to_owned()
    }
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
        let own = own::all(&options::command());
        let repeated: Vec<OwnOption> =
            own.iter().filter(|option| REPEATED.contains(&option.names[0].as_str())).cloned().collect();
        let mut typed = Typed { arguments, options: Vec::new(), verb: None, others: Vec::new() };
        let rest = typed.read_options(&own, arguments);
        match rest {
            [local, verb, more @ ..] if local == local::NAME => {
                typed.verb = verb.to_str().map(str::to_owned);
                let mut rest = typed.read_options(&repeated, more);
                while let Some((other, more)) = rest.split_first().filter(|(other, _)| *other != "--") {
                    typed.others.push(other.clone());
                    rest = typed.read_options(&repeated, more);
                }
                typed.others.extend_from_slice(rest);
            }
            claude => {
                let model = find_value(claude, "--model").map(|model| vec!["--model".into(), model]);
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

    fn complete(&self, help: &str) -> String {
        if let Some(purpose) = help.strip_prefix(RETRY_HELP) {
            let purpose = if purpose.is_empty() { String::new() } else { format!("  #{purpose}") };
            return format!("{}{purpose}", line::of(self.arguments));
        }
        let (command, comment) = help.split_at(help.find("  # ").unwrap_or(help.len()));
        let Some(options) = command.strip_prefix("lclaude ").filter(|options| options.starts_with('-')) else {
            return help.to_owned();
        };
        let names: Vec<&str> =
            options.split_whitespace().filter(|word| word.starts_with('-')).map(own::name_of).collect();
        if matches!(names[0], "--" | "--help" | "-h" | "--version" | "-v") {
            return help.to_owned();
        }
        let has = |options: &[&str]| options.iter().any(|option| names.contains(option));
        let kept = self.options.iter().enumerate().filter(|(at, (name, _))| {
            let is_last = !self.options[at + 1..].iter().any(|(later, _)| later == name);
            let is_excluded = EXCLUSIVE.iter().any(|(by, replaced, useless)| {
                // Another backend replaces only a typed one.
                let is_replaced = self.options.iter().any(|(typed, _)| replaced.contains(&typed.as_str()));
                has(by) && is_replaced && useless.contains(&name.as_str())
            });
            REPEATED.contains(&name.as_str()) && is_last && !names.contains(&name.as_str()) && !is_excluded
        });
        let kept: Vec<OsString> = kept.flat_map(|(_, (_, words))| words.clone()).collect();
        let (verb, others) = match self.verb.as_deref().filter(|verb| takes(verb, &names)) {
            Some(verb) => (vec![local::NAME.into(), verb.into()], &self.others[..]),
            None => (Vec::new(), &[][..]),
        };
        let mut command_line = line::of(&[verb, kept].concat());
        command_line = format!("{command_line} {options}");
        if !others.is_empty() {
            command_line = format!("{command_line} {}", line::quote(others));
        }
        command_line + comment
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
    use super::{super::choice::Choice, *};

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn every_option_that_chooses_is_repeated() {
        let choice = <Choice as clap::Args>::augment_args(clap::Command::new("lclaude"));
        let options: Vec<String> = own::all(&choice).into_iter().map(|option| option.names[0].clone()).collect();
        let repeated: Vec<&str> =
            options.iter().map(String::as_str).filter(|name| !matches!(*name, "--yes" | "--quiet")).collect();
        assert!(!repeated.is_empty() && repeated.iter().all(|name| REPEATED.contains(name)), "{repeated:?}");
        // These are the options of a line too.
        let line = "lclaude --backend ollama --url http://h --profile p --context 5000 --config f";
        let typed = choice.try_get_matches_from(line.split(' ')).expect("valid options");
        let typed = <Choice as clap::FromArgMatches>::from_arg_matches(&typed).expect("a choice");
        let line = typed.line(&[], None);
        assert!(repeated.iter().all(|name| line.contains(name)), "{line}");
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
            ("--url http://a --model m", "lclaude --url http://b", "lclaude --model m --url http://b"),
            ("--backend ollama --model m", "lclaude --url http://b", "lclaude --url http://b"),
            ("--model m", "lclaude --backend ollama", "lclaude --model m --backend ollama"),
            ("--backend ollama --lean", "lclaude --toolset all", "lclaude --backend ollama --toolset all"),
            ("--model m", "lclaude --help", "lclaude --help"),
            ("--model m", "lclaude -- -p", "lclaude -- -p"),
            ("--model m", "lclaude local setup", "lclaude local setup"),
            ("--model m", "set context = 1", "set context = 1"),
            ("local serve --model m", "lclaude --context 9", "lclaude local serve --model m --context 9"),
            ("local doctor --live --model m", "lclaude --context 9", "lclaude --model m --context 9"),
            ("local env --json --model m", "lclaude --context 9", "lclaude local env --model m --context 9 --json"),
            ("local run --model m -- ls -l", "lclaude --context 9", "lclaude local run --model m --context 9 -- ls -l"),
            ("local serve --model m", "lclaude --lean  # small", "lclaude --model m --lean  # small"),
            ("local stop --model m", "lclaude --context 9", "lclaude --model m --context 9"),
            ("-p hi", RETRY_HELP, "lclaude -p hi"),
        ] {
            assert_eq!(Typed::read(&words(typed)).complete(help), complete, "{typed}");
        }
    }
}
