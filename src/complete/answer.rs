//! What can be typed next, for the shells' completions: `lclaude local complete -- WORDS...`, where the last word is the
//! one being typed. Not for people: the scripts in `shell/completions` ask it at every press of Tab.
//!
//! So it is quick and silent. It reads files, starts no backend, writes nothing, speaks to no network, and completes
//! nothing where anything fails. Options and verbs are those of `cli` and `local`; none is named here a second time.

use super::names;
use std::ffi::OsString;

use clap::{Arg, ArgAction, Command, ValueHint};

use super::names::Chosen;
use crate::{base::ui, claude::arguments, cli};

/// A line of the answer, its parts apart by tabs.
enum Answer {
    /// `word TEXT ABOUT`: this can be typed.
    Word(String, String),
    /// `claude TEXT`: this too, where the shell has no completion of its own for Claude Code.
    Claude(String),
    /// `claude-from N`: from the Nth of the words on, counted from 0, it is Claude Code's command line.
    ClaudeFrom(usize),
    /// `command-from N`: from there on it is another program's.
    CommandFrom(usize),
    /// `files ENDING`: the name of a file can be typed.
    Files(&'static str),
}

/// Prints the answer.
pub fn run(words: &[OsString]) {
    // What is typed may be anything; what is not UTF-8 is nobody's option and no name of ours.
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let lines = answers(&words).into_iter().map(|answer| match answer {
        Answer::Word(text, about) => format!("word\t{text}\t{about}\n"),
        Answer::Claude(text) => format!("claude\t{text}\n"),
        Answer::ClaudeFrom(at) => format!("claude-from\t{at}\n"),
        Answer::CommandFrom(at) => format!("command-from\t{at}\n"),
        Answer::Files(ending) => format!("files\t{ending}\n"),
    });
    ui::print(&lines.collect::<String>());
}

fn answers(words: &[String]) -> Vec<Answer> {
    let Some((current, before)) = words.split_last() else {
        return Vec::new();
    };
    let session = cli::command();
    let mut line = Line { before, current, at: 0, chosen: Chosen::default() };
    if let Some(waiting) = line.pass_options(&session) {
        return line.value(waiting, "");
    }
    match line.next() {
        Some(cli::LOCAL) => line.after_local(),
        Some(_) => line.claudes(),
        None => match line.inline(&session) {
            Some(answers) => answers,
            None => line.beginning(&session),
        },
    }
}

/// A command line with the cursor at its end, read from the left.
struct Line<'a> {
    before: &'a [String],
    current: &'a str,
    /// How many of the words before the current one are read.
    at: usize,
    chosen: Chosen,
}

impl Line<'_> {
    fn next(&self) -> Option<&str> {
        self.before.get(self.at).map(String::as_str)
    }

    /// Reads options of the command's with their values, up to another word. Gives the one whose value is the current
    /// word.
    fn pass_options<'c>(&mut self, command: &'c Command) -> Option<&'c Arg> {
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
                self.chosen.take(option.get_id().as_str(), value);
            }
        }
        None
    }

    /// `--option=value`.
    fn inline(&self, command: &Command) -> Option<Vec<Answer>> {
        let (name, value) = split(self.current);
        value?;
        Some(self.value(option(command, name)?, &format!("{name}=")))
    }

    /// The values of an option or positional, with what stands before them in the same word.
    fn value(&self, argument: &Arg, prefix: &str) -> Vec<Answer> {
        let word = |value: String| Answer::Word(format!("{prefix}{value}"), String::new());
        match argument.get_id().as_str() {
            "backend" => return names::backends().map(word).collect(),
            "profile" => return self.chosen.profiles().into_iter().map(word).collect(),
            "model" => {
                let models = self.chosen.models().into_iter().map(word);
                return models.chain([Answer::Files(".gguf")]).collect();
            }
            _ => {}
        }
        let possible = argument.get_possible_values();
        if !possible.is_empty() {
            return possible.iter().map(|value| word(value.get_name().to_owned())).collect();
        }
        match argument.get_value_hint() {
            ValueHint::AnyPath | ValueHint::FilePath => vec![Answer::Files("")],
            _ => Vec::new(),
        }
    }

    /// Where lclaude's own options may still stand.
    fn beginning(&self, session: &Command) -> Vec<Answer> {
        let mut answers = Vec::new();
        if self.current.starts_with('-') {
            answers.extend(options(session));
        } else {
            answers.push(Answer::Word(cli::LOCAL.into(), "lclaude's own verbs".into()));
            answers.extend(arguments::commands().map(|name| Answer::Claude(name.to_owned())));
        }
        answers.extend(self.claudes());
        answers
    }

    /// Claude Code's own command line, in which lclaude still understands two options.
    fn claudes(&self) -> Vec<Answer> {
        let (escaped, from) = match self.next() {
            Some("--") => (true, self.at + 1),
            _ => (self.before[self.at..].iter().any(|word| word == "--"), self.at),
        };
        if !escaped {
            let session = cli::command();
            let shared = |name: &str| option(&session, name).filter(|_| arguments::is_known(name));
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
        let mut answers = vec![Answer::ClaudeFrom(from)];
        if self.current.starts_with('-') {
            answers.extend(arguments::options().map(|name| Answer::Claude(name.to_owned())));
        } else {
            answers.push(Answer::Files(""));
        }
        answers
    }

    /// `local VERB ...`
    fn after_local(&mut self) -> Vec<Answer> {
        self.at += 1;
        let verbs = cli::verbs_command();
        let Some(name) = self.next() else {
            let verbs = verbs.get_subcommands().filter(|verb| !verb.is_hide_set());
            return verbs.map(|verb| Answer::Word(verb.get_name().into(), about(verb.get_about()))).collect();
        };
        let Some(verb) = verbs.find_subcommand(name) else {
            return Vec::new();
        };
        self.at += 1;
        let mut positionals = verb.get_positionals();
        let mut positional = positionals.next();
        loop {
            if let Some(waiting) = self.pass_options(verb) {
                return self.value(waiting, "");
            }
            let runs = positional.is_some_and(Arg::is_trailing_var_arg_set);
            match self.next() {
                Some("--") if runs => return vec![Answer::CommandFrom(self.at + 1)],
                Some(_) if runs => return vec![Answer::CommandFrom(self.at)],
                Some(_) => positional = positionals.next(),
                None if runs && !self.current.starts_with('-') => return vec![Answer::CommandFrom(self.at)],
                None => break,
            }
            self.at += 1;
        }
        if let Some(answers) = self.inline(verb) {
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

/// All options of a command, as they are typed.
fn options(command: &Command) -> impl Iterator<Item = Answer> {
    let options = command.get_arguments().filter(|argument| !argument.is_positional() && !argument.is_hide_set());
    options.filter_map(|option| Some(Answer::Word(format!("--{}", option.get_long()?), about(option.get_help()))))
}

/// One line, which is all that a shell has room for.
fn about(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().replace('\t', " ")
}
