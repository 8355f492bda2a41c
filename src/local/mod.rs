//! The verbs of `lclaude local`, one file or folder each. They start backends only through `session`, and `cli` parses
//! their arguments.

mod cache;
mod completions;
mod config;
mod doctor;
mod env;
mod format;
mod init;
mod line;
mod logs;
mod man;
mod models;
mod own_line;
mod profiles;
mod run;
mod selection;
mod serve;
mod setup;
mod status;
mod stop;
mod table;
mod trust;
mod untrust;
mod use_model;
mod which;

use crate::{
    base::{error::Result, exit::Exit},
    cli::Verb,
};

/// Runs a verb.
pub(crate) fn run(verb: Verb) -> Result<Exit> {
    match verb {
        Verb::Setup(arguments) => setup::run(arguments),
        Verb::Doctor(arguments) => doctor::run(arguments),
        Verb::Models(arguments) => models::run(arguments).map(Exit::Code),
        Verb::Use(arguments) => use_model::run(arguments).map(Exit::Code),
        Verb::Config(arguments) => config::run(arguments),
        Verb::Profiles(arguments) => profiles::run(arguments).map(Exit::Code),
        Verb::Status(arguments) => status::run(arguments),
        Verb::Stop(arguments) => stop::run(arguments).map(Exit::Code),
        Verb::Line(arguments) => line::run(arguments).map(Exit::Code),
        Verb::Logs(arguments) => logs::run(arguments),
        Verb::Cache(arguments) => cache::run(arguments).map(Exit::Code),
        Verb::Init(arguments) => init::run(arguments).map(Exit::Code),
        Verb::Trust(arguments) => trust::run(arguments).map(Exit::Code),
        Verb::Untrust(arguments) => untrust::run(arguments).map(Exit::Code),
        Verb::Env(arguments) => env::run(arguments).map(Exit::Code),
        Verb::Run(arguments) => run::run(arguments),
        Verb::Serve(arguments) => serve::run(arguments),
        Verb::Completions(arguments) => completions::run(arguments).map(Exit::Code),
        Verb::Man(arguments) => man::run(arguments).map(Exit::Code),
        // `cli` prints it.
        Verb::Help(_) => Ok(Exit::Code(0)),
    }
}
