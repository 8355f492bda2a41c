//! Reading `lclaude local VERB …`, and saying what is wrong with it.

use std::ffi::OsString;

use clap::{
    CommandFactory, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{command::Command, verbs::Verbs};
use crate::{
    base::error::{Code, Failure, Result},
    config::nearest,
};

const AS_A_WORD: &str = "lclaude -- local passes the word to Claude Code";
/// The one reserved word.
pub const NAME: &str = "local";

/// `before`: options that stood before the word `local`; they are the verb's.
///
/// # Errors
/// `Usage`.
pub fn parse(before: &[OsString], after: &[OsString]) -> Result<Command> {
    let (verb, rest) = after.split_at(after.len().min(1));
    let name = OsString::from("lclaude local");
    let words = std::iter::once(&name).chain(verb).chain(before).chain(rest);
    match Verbs::try_parse_from(words) {
        Ok(parsed) => Ok(Command::Local(parsed.verb)),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => Ok(Command::Explain(error.render().to_string())),
        Err(error) => Err(misunderstood(&error, verb.first())),
    }
}

fn misunderstood(error: &clap::Error, verb: Option<&OsString>) -> Failure {
    let command = Verbs::command();
    let verbs: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    let all = format!("the verbs are {}", verbs.join(", "));
    let Some(verb) = verb.map(|verb| verb.to_string_lossy()) else {
        return Failure::new(Code::Usage, "`lclaude local` needs a verb")
            .why(all)
            .help("lclaude local --help")
            .help(AS_A_WORD);
    };
    if verbs.contains(&&*verb) {
        let why = match (error.kind(), error.get(ContextKind::ValidValue)) {
            (ErrorKind::MissingRequiredArgument, _) => format!("`lclaude local {verb}` needs it"),
            (_, Some(ContextValue::Strings(values))) => format!("`lclaude local {verb}` takes {}", values.join(", ")),
            _ => format!("`lclaude local {verb}` cannot use it"),
        };
        let failure = Failure::new(Code::Usage, in_words(error)).why(why);
        let failure = match (error.kind(), error.get(ContextKind::InvalidArg)) {
            (ErrorKind::UnknownArgument, Some(ContextValue::String(typed))) => {
                let known = command.find_subcommand(&*verb).into_iter().flat_map(clap::Command::get_arguments);
                let known: Vec<String> = known.filter_map(|known| Some(known.get_long()?.to_owned())).collect();
                match nearest(typed.trim_start_matches('-'), known.iter().map(String::as_str)) {
                    Some(near) => failure.help(format!("did you mean --{near}?")),
                    None => failure,
                }
            }
            _ => failure,
        };
        return failure.help(format!("lclaude local {verb} --help"));
    }
    let failure = Failure::new(Code::Usage, format!("there is no `lclaude local {verb}`")).why(all);
    let failure = match nearest(&verb, verbs.into_iter()) {
        Some(near) => failure.help(format!("did you mean `lclaude local {near}`?")),
        None => failure,
    };
    failure.help(AS_A_WORD)
}

/// The first sentence of what the parser says, without what only a programmer reads in it.
pub fn in_words(error: &clap::Error) -> String {
    let text = error.render().to_string();
    // What is missing stands on lines of its own.
    let first = text.lines().scan(true, |goes_on, line| {
        let taken = goes_on.then(|| line.trim());
        *goes_on = line.ends_with(':') || line.starts_with(' ');
        taken
    });
    let words = first.collect::<Vec<_>>().join(" ");
    let words = words.trim_start_matches("error: ").trim_end();
    let words = words.strip_suffix(" found").unwrap_or(words);
    let words = words.replace("the following required arguments were not provided:", "missing:");
    let words = words.replace("invalid digit found in string", "it is not a number");
    words.replace("number too large to fit in target type", "it is too large")
}

/// The verbs and their options, to be read by other programs' means.
pub fn command() -> clap::Command {
    Verbs::command()
}
