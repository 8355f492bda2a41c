//! Parses `lclaude local VERB …` and explains errors in it.

use std::ffi::OsString;

use clap::{
    ArgMatches, CommandFactory, FromArgMatches,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{
    command::Invocation,
    verbs::{self, Verbs},
};
use crate::{
    base::{
        error::{Code, Failure, Result},
        ui,
    },
    config::find_nearest,
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
    let (verb, rest) = after.split_at(after.len().min(1));
    let name = OsString::from("lclaude local");
    let words = std::iter::once(&name).chain(verb).chain(before).chain(rest);
    let matches = verbs::grouped_command().try_get_matches_from(words);
    let quiet = |(_, of_verb): (_, &ArgMatches)| matches!(of_verb.try_get_one("quiet"), Ok(Some(true)));
    if matches.as_ref().ok().and_then(ArgMatches::subcommand).is_some_and(quiet) {
        ui::be_quiet();
    }
    match matches.and_then(|matches| Verbs::from_arg_matches(&matches)) {
        Ok(parsed) => Ok(Invocation::Local(parsed.verb)),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => Ok(Invocation::Print(error.render().to_string())),
        Err(error) => Err(usage_failure(&error, verb.first())),
    }
}

fn usage_failure(error: &clap::Error, verb: Option<&OsString>) -> Failure {
    let command = Verbs::command();
    let verbs: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    let all = format!("the commands are {}", verbs.join(", "));
    let Some(verb) = verb.map(|verb| verb.to_string_lossy()) else {
        return Failure::new(Code::Usage, "`lclaude local` requires a command")
            .cause(all)
            .help("lclaude local --help")
            .help(ESCAPE_HELP);
    };
    if verbs.contains(&&*verb) {
        if let Some(failure) = invalid_value(error) {
            return failure.help(format!("lclaude local {verb} --help"));
        }
        let why = match (error.kind(), error.get(ContextKind::ValidValue)) {
            (ErrorKind::MissingRequiredArgument, _) => format!("`lclaude local {verb}` requires it"),
            (_, Some(ContextValue::Strings(values))) => format!("possible values: {}", values.join(", ")),
            _ => format!("`lclaude local {verb}` doesn't accept it"),
        };
        let failure = Failure::new(Code::Usage, summarize(error)).cause(why);
        let failure = match (error.kind(), error.get(ContextKind::InvalidArg)) {
            (ErrorKind::UnknownArgument, Some(ContextValue::String(typed))) => {
                let known = command.find_subcommand(&*verb).into_iter().flat_map(clap::Command::get_arguments);
                let known: Vec<String> = known.filter_map(|known| Some(known.get_long()?.to_owned())).collect();
                match find_nearest(typed.trim_start_matches('-'), known.iter().map(String::as_str)) {
                    Some(near) => failure.help(format!("did you mean --{near}?")),
                    None => failure,
                }
            }
            _ => failure,
        };
        return failure.help(format!("lclaude local {verb} --help"));
    }
    let failure = Failure::new(Code::Usage, format!("unknown command `lclaude local {verb}`")).cause(all);
    let failure = match find_nearest(&verb, verbs.into_iter()) {
        Some(near) => failure.help(format!("did you mean `lclaude local {near}`?")),
        None => failure,
    };
    failure.help(ESCAPE_HELP)
}

/// Returns the failure for a value that an option's parser rejects, or `None` for another error.
pub(crate) fn invalid_value(error: &clap::Error) -> Option<Failure> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    if error.kind() != ErrorKind::ValueValidation {
        return None;
    }
    // `--backend <KIND>`
    let option = text(ContextKind::InvalidArg)?.split_whitespace().next()?;
    let failure =
        Failure::new(Code::Usage, format!("invalid value {:?} for {option}", text(ContextKind::InvalidValue)?));
    Some(failure.cause(plain_number_error(&std::error::Error::source(error)?.to_string())))
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
    Verbs::command()
}
