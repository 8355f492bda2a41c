//! `lclaude` runs Claude Code on a local model.
//!
//! The modules, lowest first: base, config, memory, warm, backend, claude, keeper, cli, session, launch, local, complete.
//! Each imports only from modules before it. `docs/architecture.md` describes them.
#![warn(missing_docs, unreachable_pub)]

mod backend;
mod base;
mod claude;
mod cli;
mod complete;
mod config;
mod keeper;
mod launch;
mod local;
mod memory;
mod session;
mod warm;

use base::{
    error::{Code, Failure, Result},
    exit::Exit,
    installation::Installation,
    ui,
    variables::Variables,
};
use cli::Invocation;

/// Runs `lclaude` with this process's arguments, and ends this process.
pub fn main() -> ! {
    std::panic::set_hook(Box::new(|panic| {
        let bug = Failure::panicked(panic);
        ui::message_lines(&bug);
        std::process::exit(bug.exit_code().into());
    }));
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let typed = arguments.clone();
    ui::complete_helps(move |help| cli::complete_help(&typed, help));
    let exit = cli::parse(arguments).and_then(dispatch).unwrap_or_else(|failure| {
        ui::message_lines(&failure);
        Exit::Code(failure.exit_code())
    });
    exit.leave()
}

fn dispatch(invocation: Invocation) -> Result<Exit> {
    match invocation {
        Invocation::Session(session) => launch::session(session, |arguments| local::run(cli::Verb::Setup(arguments))),
        Invocation::Keeper => Ok(Exit::Code(keeper::run().map_or(Code::Unavailable as u8, |()| 0))),
        Invocation::Local(verb) => local::run(verb),
        Invocation::Complete(words) => {
            complete::run(&words);
            Ok(Exit::Code(0))
        }
        Invocation::Print(text) => {
            ui::print_report(&text);
            Ok(Exit::Code(0))
        }
        Invocation::Help => launch::print_both(&cli::help(), "--help"),
        Invocation::Version => launch::print_both(&version(), "--version"),
    }
}

/// Returns lclaude's version, and how it was installed if that is known.
fn version() -> String {
    let installed = Installation::find(&Variables::read()).map(|installation| format!(", {}", installation.describe()));
    format!("{} (lclaude{})", env!("CARGO_PKG_VERSION"), installed.unwrap_or_default())
}
