//! The verbs of `lclaude local` and their help; a file for each group of them has their options.

mod backends;
mod configuration;
mod programs;
mod projects;
mod setup;
mod shell;

use std::fmt::Write;

use clap::{CommandFactory, Parser, Subcommand};

pub(crate) use backends::{CacheArguments, LogsArguments, StatusArguments, StopArguments, TargetArguments};
pub(crate) use configuration::{ConfigAction, ConfigArguments, ProfilesArguments, UseArguments};
pub(crate) use programs::{EnvArguments, Format, LineArguments, RunArguments, ServeArguments};
pub(crate) use projects::{InitArguments, TrustArguments, UntrustArguments};
pub(crate) use setup::{DoctorArguments, ModelsArguments, SetupArguments};
pub(crate) use shell::{CompletionsArguments, HelpArguments, ManArguments, Shell};

/// Set up, inspect and stop local backends
#[derive(Debug, Parser)]
#[command(name = "lclaude local", disable_help_subcommand = true, after_help = AFTER_HELP)]
pub(crate) struct Verbs {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Setup(SetupArguments),
    Doctor(DoctorArguments),
    Models(ModelsArguments),
    Use(UseArguments),
    Config(ConfigArguments),
    Profiles(ProfilesArguments),
    Status(StatusArguments),
    Stop(StopArguments),
    Logs(LogsArguments),
    Cache(CacheArguments),
    Init(InitArguments),
    Trust(TrustArguments),
    Untrust(UntrustArguments),
    Env(EnvArguments),
    Run(RunArguments),
    Serve(ServeArguments),
    Line(LineArguments),
    Completions(CompletionsArguments),
    Man(ManArguments),
    Help(HelpArguments),
}

const AFTER_HELP: &str = "\
Examples:
  lclaude local setup              # install and configure what is missing
  lclaude local doctor --live      # find out why something doesn't work
  lclaude local models             # see which models fit in memory
  lclaude local use MODEL          # make a model the default
  lclaude local stop --all         # stop all backends
  eval \"$(lclaude local env)\"      # point other programs at a running backend

Help for one command: `lclaude local COMMAND --help`";

/// The verbs by topic, in the order of the help.
const GROUPS: &[(&str, &[&str])] = &[
    ("Getting started", &["setup", "doctor", "models"]),
    ("Configuration", &["use", "config", "profiles"]),
    ("Running backends", &["status", "stop", "logs", "cache"]),
    ("Projects", &["init", "trust", "untrust"]),
    ("Other programs", &["env", "run", "serve", "line"]),
    ("Shell", &["completions", "man", "help"]),
];

/// The verbs that ask nothing, so that their help doesn't show `--yes`, which goes with a choice of backend.
const WITHOUT_QUESTIONS: &[&str] = &["models", "logs", "env"];

/// Returns the verbs as a command.
pub(crate) fn command() -> clap::Command {
    WITHOUT_QUESTIONS.iter().fold(Verbs::command(), |command, verb| {
        command.mut_subcommand(verb, |verb| verb.mut_arg("yes", |yes| yes.hide(true)))
    })
}

/// Returns the verbs as a command whose help groups them.
pub(crate) fn grouped_command() -> clap::Command {
    let mut command = command();
    let mut groups = String::new();
    for (title, verbs) in GROUPS {
        writeln!(groups, "{title}:").expect("a String takes any text");
        for verb in verbs.iter().filter_map(|verb| command.find_subcommand(verb)) {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            writeln!(groups, "  {:<12} {about}", verb.get_name()).expect("a String takes any text");
        }
        groups.push('\n');
    }
    for verb in GROUPS.iter().flat_map(|(_, verbs)| *verbs) {
        command = command.mut_subcommand(verb, |verb| match verb.get_long_about().cloned() {
            // clap's own long help puts every option on two lines.
            Some(about) => verb.about(about).long_about(None),
            None => verb,
        });
    }
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}Options:\n{{options}}{{after-help}}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_groups_list_every_verb_once_in_order() {
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        let command = Verbs::command();
        let verbs: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(grouped, verbs);
    }
}
