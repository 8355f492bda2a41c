//! Parses the words up to the cursor and prints the candidates for the last word, which is the one being typed.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command, ValueHint};

use super::names::{self, ChosenOptions};
use crate::{base::ui, claude::arguments, cli, config::ToolSet};

/// A line of the answer, with tab-separated fields.
enum Completion {
    /// `word TEXT ABOUT`: a candidate and its description.
    Word(String, String),
    /// `claude TEXT`: a candidate for shells that have no completion for Claude Code.
    Claude(String),
    /// `claude-from N`: Claude Code's command line starts at word N, counted from 0.
    ClaudeFrom(usize),
    /// `command-from N`: another program's command line starts at word N.
    CommandFrom(usize),
    /// `files ENDING`: file names with this ending are candidates.
    Files(&'static str),
}

/// Prints the candidates for the last of `words`.
pub(crate) fn run(words: &[OsString]) {
    // No option or name of ours has a character that is not valid UTF-8.
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let lines = answers(&words).into_iter().map(|answer| match answer {
        Completion::Word(text, about) => format!("word\t{text}\t{about}\n"),
        Completion::Claude(text) => format!("claude\t{text}\n"),
        Completion::ClaudeFrom(at) => format!("claude-from\t{at}\n"),
        Completion::CommandFrom(at) => format!("command-from\t{at}\n"),
        Completion::Files(ending) => format!("files\t{ending}\n"),
    });
    ui::print_exact(&lines.collect::<String>());
}

fn answers(words: &[String]) -> Vec<Completion> {
    let Some((current, before)) = words.split_last() else {
        return Vec::new();
    };
    let session = cli::session_command();
    let mut line = Line { before, current, at: 0, chosen: ChosenOptions::default() };
    if let Some(waiting) = line.skip_options(&session) {
        return line.value(waiting, "");
    }
    match line.next() {
        Some(cli::LOCAL) => line.after_local(),
        Some(_) => line.claude_code(),
        None => match line.inline_value(&session) {
            Some(answers) => answers,
            None => line.own_options(&session),
        },
    }
}

/// A command line with the cursor at its end, read from left to right.
struct Line<'a> {
    before: &'a [String],
    current: &'a str,
    /// How many of the words before the current one have been read.
    at: usize,
    chosen: ChosenOptions,
}

impl Line<'_> {
    fn next(&self) -> Option<&str> {
        self.before.get(self.at).map(String::as_str)
    }

    /// Reads the command's options and their values, up to another word. Returns the option whose value is the current
    /// word.
    fn skip_options<'c>(&mut self, command: &'c Command) -> Option<&'c Arg> {
        while let Some(word) = self.next() {
            let (name, inline) = split(word);
            let option = option(command, name)?;
            let value = if !takes_value(option) {
                None
            } else if inline.is_some() {
                inline.map(str::to_owned)
            } else {
                self.at += 1;
                match self.next() {
                    Some(value) => Some(value.to_owned()),
                    None => return Some(option),
                }
            };
            self.at += 1;
            if let Some(value) = value {
                self.chosen.record(option.get_id().as_str(), value);
            }
        }
        None
    }

    /// Completes `--option=value`.
    fn inline_value(&self, command: &Command) -> Option<Vec<Completion>> {
        let (name, value) = split(self.current);
        value?;
        Some(self.value(option(command, name)?, &format!("{name}=")))
    }

    /// Returns the values of an option or positional, after the `prefix` in the same word.
    fn value(&self, argument: &Arg, prefix: &str) -> Vec<Completion> {
        let word = |value: String| Completion::Word(format!("{prefix}{value}"), String::new());
        match argument.get_id().as_str() {
            "backend" => return names::backends().map(word).collect(),
            "profile" => return self.chosen.profiles().into_iter().map(word).collect(),
            "toolset" => return ToolSet::ALL.map(|(name, _)| word(name.to_owned())).into(),
            "verb" => {
                let verbs = cli::local_command();
                return verbs.get_subcommands().map(|verb| word(verb.get_name().to_owned())).collect();
            }
            "key" => return names::keys().into_iter().map(word).collect(),
            "model" | "name" => {
                let models = self.chosen.models().into_iter().map(word);
                return models.chain([Completion::Files(".gguf")]).collect();
            }
            _ => {}
        }
        let possible = argument.get_possible_values();
        if !possible.is_empty() {
            return possible.iter().map(|value| word(value.get_name().to_owned())).collect();
        }
        match argument.get_value_hint() {
            ValueHint::AnyPath | ValueHint::FilePath => vec![Completion::Files("")],
            _ => Vec::new(),
        }
    }

    /// Completes a word where lclaude's own options may still come.
    fn own_options(&self, session: &Command) -> Vec<Completion> {
        let mut answers = Vec::new();
        if self.current.starts_with('-') {
            answers.extend(options(session));
        } else {
            answers.push(Completion::Word(cli::LOCAL.into(), "Set up, inspect and stop local backends".into()));
            answers.extend(arguments::commands().map(|name| Completion::Claude(name.to_owned())));
        }
        answers.extend(self.claude_code());
        answers
    }

    /// Completes Claude Code's command line, in which lclaude still parses `--model` and `--settings`.
    fn claude_code(&self) -> Vec<Completion> {
        let (escaped, from) = match self.next() {
            Some("--") => (true, self.at + 1),
            _ => (self.before[self.at..].iter().any(|word| word == "--"), self.at),
        };
        if !escaped {
            let session = cli::session_command();
            let shared = |name: &str| option(&session, name).filter(|_| arguments::unknown::is_known_option(name));
            let last = self.before[self.at..].last().and_then(|word| shared(word));
            if let Some(waiting) = last.filter(|option| takes_value(option)) {
                return self.value(waiting, "");
            }
            if let (name, Some(_)) = split(self.current)
                && let Some(option) = shared(name)
            {
                return self.value(option, &format!("{name}="));
            }
        }
        let mut answers = vec![Completion::ClaudeFrom(from)];
        if self.current.starts_with('-') {
            answers.extend(arguments::options().map(|name| Completion::Claude(name.to_owned())));
        } else {
            answers.push(Completion::Files(""));
        }
        answers
    }

    /// Completes `local VERB ...`.
    fn after_local(&mut self) -> Vec<Completion> {
        self.at += 1;
        let verbs = cli::local_command();
        let Some(name) = self.next() else {
            let verbs = verbs.get_subcommands().filter(|verb| !verb.is_hide_set());
            return verbs.map(|verb| Completion::Word(verb.get_name().into(), about(verb.get_about()))).collect();
        };
        let Some(verb) = verbs.find_subcommand(name) else {
            return Vec::new();
        };
        self.at += 1;
        let mut positionals = verb.get_positionals();
        let mut positional = positionals.next();
        loop {
            if let Some(waiting) = self.skip_options(verb) {
                return self.value(waiting, "");
            }
            let runs = positional.is_some_and(Arg::is_trailing_var_arg_set);
            match self.next() {
                Some("--") if runs => return vec![Completion::CommandFrom(self.at + 1)],
                Some(_) if runs => return vec![Completion::CommandFrom(self.at)],
                Some(_) => positional = positionals.next(),
                None if runs && !self.current.starts_with('-') => return vec![Completion::CommandFrom(self.at)],
                None => break,
            }
            self.at += 1;
        }
        if let Some(answers) = self.inline_value(verb) {
            return answers;
        }
        let value = positional.filter(|_| !self.current.starts_with('-'));
        value.map_or_else(|| options(verb).collect(), |positional| self.value(positional, ""))
    }
}

fn split(word: &str) -> (&str, Option<&str>) {
    match word.split_once('=') {
        Some((name, value)) if name.starts_with("--") => (name, Some(value)),
        _ => (word, None),
    }
}

fn option<'c>(command: &'c Command, name: &str) -> Option<&'c Arg> {
    command.get_arguments().filter(|argument| !argument.is_positional()).find(|option| match name.strip_prefix("--") {
        Some(long) => option.get_long() == Some(long),
        None => option.get_short().is_some_and(|short| name == format!("-{short}")),
    })
}

fn takes_value(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::Set | ArgAction::Append)
}

/// Returns all options of a command.
fn options(command: &Command) -> impl Iterator<Item = Completion> {
    let options = command.get_arguments().filter(|argument| !argument.is_positional() && !argument.is_hide_set());
    options.filter_map(|option| Some(Completion::Word(format!("--{}", option.get_long()?), about(option.get_help()))))
}

/// Returns the first line of a help text.
fn about(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().replace('\t', " ")
}
