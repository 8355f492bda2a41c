//! `lclaude local VERB`: everything beside the main job, a file a verb.

mod completions;
mod doctor;
mod env;
mod format;
mod init;
mod logs;
mod man;
mod models;
mod run;
mod serve;
mod setup;
mod status;
mod stop;
mod trust;
mod untrust;
mod which;

use std::{ffi::OsString, path::Path};

use clap::{
    CommandFactory, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{
    claude,
    cli::{Choice, Command},
    config::{Overrides, Project, Settings, nearest},
    error::{Code, Failure, Result},
    launch,
    paths::Places,
    plan, ui,
};

const AS_A_WORD: &str = "lclaude -- local passes the word to Claude Code";
/// The one reserved word.
pub const NAME: &str = "local";

/// What lclaude can do beside running Claude Code.
#[derive(Debug, Parser)]
#[command(name = "lclaude local", disable_help_subcommand = true)]
struct Verbs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    Setup(setup::Arguments),
    Doctor(doctor::Arguments),
    Models(models::Arguments),
    Status(status::Arguments),
    Stop(stop::Arguments),
    Logs(logs::Arguments),
    Init(init::Arguments),
    Trust(trust::Arguments),
    Untrust(untrust::Arguments),
    Env(env::Arguments),
    Run(run::Arguments),
    Serve(serve::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// Which backend and model a verb is about; what is not said comes from the configuration, as for a session.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Selection {
    #[command(flatten)]
    pub choice: Choice,
    /// A model of the backend's
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
}

impl Selection {
    /// As the topmost layer of the settings.
    fn overrides(&self) -> Overrides {
        self.choice.overrides(self.model.clone())
    }

    /// The settings that a session would have here.
    pub fn settings(&self, places: &Places) -> Result<Settings> {
        launch::settings(&self.choice, &self.overrides(), places)
    }

    /// The same, for a look at what would be.
    fn quiet_settings(&self, places: &Places) -> Result<Settings> {
        let project = Project::find(&plan::here()?, places)?;
        launch::own_settings(&self.choice, &self.overrides(), project.as_ref(), places)
    }

    /// `verb` with this selection, as one could type it.
    fn line(&self, verb: &str) -> String {
        let Choice { backend, profile, context, config, yes: _ } = &self.choice;
        let context = context.map(|tokens| tokens.to_string());
        let config = config.as_ref().map(|file| file.display().to_string());
        let options = [
            ("--backend", backend),
            ("--model", &self.model),
            ("--profile", profile),
            ("--context", &context),
            ("--config", &config),
        ];
        let mut words = vec!["lclaude".to_owned(), "local".into(), verb.into()];
        for (option, value) in options {
            words.extend(value.iter().flat_map(|value| [option.to_owned(), value.clone()]));
        }
        ui::command_line(words.into_iter())
    }
}

/// What our variables cannot do for a Claude Code that other programs start; `home`: the user's, unless it is kept out.
fn warn_of_settings(home: Option<&Path>) -> Result<()> {
    for words in claude::warnings_without_overlay(home, &plan::here()?) {
        ui::say(format_args!("lclaude: {words}"));
    }
    Ok(())
}

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

pub fn run(verb: Verb) -> Result<u8> {
    match verb {
        Verb::Setup(arguments) => setup::run(arguments),
        Verb::Doctor(arguments) => doctor::run(arguments),
        Verb::Models(arguments) => models::run(arguments),
        Verb::Status(arguments) => status::run(arguments),
        Verb::Stop(arguments) => stop::run(arguments),
        Verb::Logs(arguments) => logs::run(arguments),
        Verb::Init(arguments) => init::run(arguments),
        Verb::Trust(arguments) => trust::run(arguments),
        Verb::Untrust(arguments) => untrust::run(arguments),
        Verb::Env(arguments) => env::run(arguments),
        Verb::Run(arguments) => run::run(arguments),
        Verb::Serve(arguments) => serve::run(arguments),
        Verb::Completions(arguments) => completions::run(arguments),
        Verb::Man(arguments) => man::run(arguments),
    }
}
