//! Parses `lclaude local VERB …` and explains errors in it.

use std::ffi::OsString;

use clap::{
    ArgMatches, CommandFactory, FromArgMatches,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{
    command::Invocation,
    line, own,
    verbs::{self, ConfigArguments, HelpArguments, Verb, Verbs},
};
use crate::{
    base::{
        error::{Code, Failure, Result},
        ui,
    },
    config::{UnknownKind, find_nearest},
};

const ESCAPE_HELP: &str = "lclaude -- local  # to pass the word \"local\" to Claude Code";
/// The only reserved word.
pub(crate) const NAME: &str = "local";

/// Parses the arguments of `lclaude local`.
///
/// `before`: options before the word `local`, which belong to the verb.
///
/// # Errors
/// `Usage`.
pub(crate) fn parse(before: &[OsString], after: &[OsString]) -> Result<Invocation> {
    let help = OsString::from("--help");
    let (verb, rest) = match after {
        // Alone it prints the help, as `git` and `gh` do.
        [] => (std::slice::from_ref(&help), after),
        _ => after.split_at(1),
    };
    let name = OsString::from("lclaude local");
    let words = std::iter::once(&name).chain(verb).chain(before).chain(rest);
    let matches = verbs::grouped_command().try_get_matches_from(words);
    let quiet = |(_, of_verb): (_, &ArgMatches)| matches!(of_verb.try_get_one("quiet"), Ok(Some(true)));
    if matches.as_ref().ok().and_then(ArgMatches::subcommand).is_some_and(quiet) {
        ui::be_quiet();
    }
    match matches.and_then(|matches| Verbs::from_arg_matches(&matches)) {
        Ok(Verbs { verb: Verb::Help(HelpArguments { verb }) }) => match verb {
            Some(verb) if !names().iter().any(|name| *verb == **name) => {
                let typed = [before, &[NAME.into()], after].concat();
                Err(unknown_verb(&verb.to_string_lossy(), &typed))
            }
            Some(verb) => parse(&[], &[verb, help]),
            None => parse(&[], &[]),
        },
        // Its value may start with a dash.
        Ok(Verbs { verb: Verb::Config(ConfigArguments { value: Some(value), .. }) })
            if matches!(value.as_str(), "--help" | "-h") && has_help(rest) =>
        {
            parse(&[], &["config".into(), help])
        }
        Ok(parsed) => Ok(Invocation::Local(parsed.verb)),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => Ok(Invocation::Print(error.render().to_string())),
        Err(error) => {
            let help = [&name].into_iter().chain(verb).cloned().chain(["--help".into()]);
            if has_help(rest)
                && let Err(help) = verbs::grouped_command().try_get_matches_from(help)
                && help.kind() == ErrorKind::DisplayHelp
            {
                return Ok(Invocation::Print(help.render().to_string()));
            }
            let typed = [before, &[NAME.into()], after].concat();
            Err(usage_failure(&error, verb.first(), &typed))
        }
    }
}

/// Returns whether `--help` is among the arguments.
pub(super) fn has_help(arguments: &[OsString]) -> bool {
    arguments.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--help" || argument == "-h")
}

fn usage_failure(error: &clap::Error, verb: Option<&OsString>, typed: &[OsString]) -> Failure {
    let command = Verbs::command();
    let verb = verb.map(|verb| verb.to_string_lossy()).unwrap_or_default();
    if command.find_subcommand(&*verb).is_some() {
        if let Some(failure) = invalid_value(error, typed) {
            return failure.help(format!("lclaude local {verb} --help"));
        }
        let why = match (error.kind(), error.get(ContextKind::ValidValue)) {
            (ErrorKind::MissingRequiredArgument, _) => format!("`lclaude local {verb}` requires it"),
            (_, Some(ContextValue::Strings(values))) => format!("possible values: {}", values.join(", ")),
            _ => format!("`lclaude local {verb}` doesn't accept it"),
        };
        let failure = Failure::new(Code::Usage, summarize(error)).cause(why);
        let failure = match (error.kind(), error.get(ContextKind::InvalidArg)) {
            (ErrorKind::UnknownArgument, Some(ContextValue::String(unknown))) => {
                let known = command.find_subcommand(&*verb).into_iter().flat_map(clap::Command::get_arguments);
                let known: Vec<String> = known.filter_map(|known| Some(known.get_long()?.to_owned())).collect();
                match find_nearest(unknown.trim_start_matches('-'), known.iter().map(String::as_str)) {
                    Some(near) => failure.help(replaced(typed, unknown, &format!("--{near}"))),
                    None => failure,
                }
            }
            (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(missing)))
                if missing.iter().all(|option| option.starts_with("--") && !option.contains(' ')) =>
            {
                let at = typed.windows(2).position(|words| words[0] == NAME && *words[1] == *verb);
                let (start, rest) = typed.split_at(at.map_or(typed.len(), |at| at + 2));
                let missing = missing.iter().map(OsString::from).collect();
                failure.help(line::of(&[start.to_vec(), missing, rest.to_vec()].concat()))
            }
            _ => failure,
        };
        return failure.help(format!("lclaude local {verb} --help"));
    }
    unknown_verb(&verb, typed).help(ESCAPE_HELP)
}

fn names() -> Vec<String> {
    Verbs::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
}

fn unknown_verb(verb: &str, typed: &[OsString]) -> Failure {
    let names = names();
    let failure = Failure::new(Code::Usage, format!("unknown command `lclaude local {verb}`"))
        .cause(format!("the commands are {}", names.join(", ")));
    let failure = match find_nearest(verb, names.iter().map(String::as_str)) {
        Some(near) => failure.help(replaced(typed, verb, near)),
        None => failure,
    };
    failure.help("lclaude local help")
}

/// Returns the typed line with one word replaced, or the part of it before `=`.
fn replaced(typed: &[OsString], word: &str, by: &str) -> String {
    let replaced = typed.iter().map(|argument| {
        let text = argument.to_string_lossy();
        let is_word = own::name_of(&text) == word;
        if is_word { format!("{by}{}", &text[word.len()..]).into() } else { argument.clone() }
    });
    line::of(&replaced.collect::<Vec<_>>())
}

/// Returns the typed line with another value of an option.
fn with_value(typed: &[OsString], option: &str, value: &str, by: &str) -> String {
    let inline = format!("{option}={value}");
    let mut previous = OsString::new();
    let corrected = typed.iter().map(|argument| {
        let is_value = std::mem::replace(&mut previous, argument.clone()) == option && argument == value;
        match () {
            () if is_value => by.into(),
            () if *argument == *inline => format!("{option}={by}").into(),
            () => argument.clone(),
        }
    });
    line::of(&corrected.collect::<Vec<_>>())
}

/// Returns the failure for a value that an option's parser rejects, or that the option doesn't take, or `None` for
/// another error. `typed`: all arguments.
pub(crate) fn invalid_value(error: &clap::Error, typed: &[OsString]) -> Option<Failure> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    // `--backend <KIND>`
    let option = text(ContextKind::InvalidArg)?.split_whitespace().next()?;
    let value = text(ContextKind::InvalidValue)?;
    match error.kind() {
        ErrorKind::TooManyValues if option.starts_with("--") => return Some(needless_value(option, value, typed)),
        ErrorKind::ValueValidation => {}
        _ => return None,
    }
    let source = std::error::Error::source(error)?;
    let failure = Failure::new(Code::Usage, format!("invalid value {value:?} for {option}"))
        .cause(plain_number_error(&source.to_string()));
    let nearest = source.downcast_ref::<UnknownKind>().and_then(|unknown| unknown.nearest);
    Some(match nearest {
        Some(nearest) => failure.help(with_value(typed, option, value, nearest)),
        None => failure,
    })
}

/// Returns the failure for `--OPTION=VALUE` if the option takes no value.
fn needless_value(option: &str, value: &str, typed: &[OsString]) -> Failure {
    let inline = format!("{option}={value}");
    let corrected = typed.iter().filter_map(|argument| match *argument == *inline {
        true if value == "false" => None,
        true => Some(option.into()),
        false => Some(argument.clone()),
    });
    let help = line::of(&corrected.collect::<Vec<OsString>>());
    Failure::new(Code::Usage, format!("{option} takes no value")).cause(format!("{value:?} was given")).help(help)
}

/// Replaces what the parsers of numbers say.
fn plain_number_error(text: &str) -> String {
    if text.contains(" is not in ") || text == "number too large to fit in target type" {
        return "out of range".into();
    }
    text.replace("invalid digit found in string", "not a number")
        .replace("cannot parse integer from empty string", "not a number")
}

/// Returns the first sentence of a parser error, in plain words.
pub(crate) fn summarize(error: &clap::Error) -> String {
    let text = error.render().to_string();
    // Missing arguments follow on lines of their own.
    let first = text.lines().scan(true, |continues, line| {
        let taken = continues.then(|| line.trim());
        *continues = line.ends_with(':') || line.starts_with(' ');
        taken
    });
    let words = first.collect::<Vec<_>>().join(" ");
    let words = words.trim_start_matches("error: ").trim_end();
    let words = words.strip_suffix(" found").unwrap_or(words);
    plain_number_error(&words.replace("the following required arguments were not provided:", "missing:"))
}

/// Returns the verbs and their options, for completions and the manual page.
pub(crate) fn command() -> clap::Command {
    verbs::command()
}
