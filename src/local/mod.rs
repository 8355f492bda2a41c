//! The verbs of `lclaude local`, one file or folder each. They start backends only through `session`, and `cli` parses
//! their arguments.

mod completions;
mod doctor;
mod env;
mod format;
mod init;
mod logs;
mod man;
mod models;
mod run;
mod selection;
mod serve;
mod setup;
mod status;
mod stop;
mod trust;
mod untrust;
mod which;

use crate::{base::error::Result, cli::Verb};

/// Runs a verb and returns its exit code.
pub(crate) fn run(verb: Verb) -> Result<u8> {
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
