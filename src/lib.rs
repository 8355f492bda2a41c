//! `lclaude` runs Claude Code on a local model.
//!
//! The modules, lowest first: base, config, memory, backend, claude, keeper, cli, session, launch, local, complete.
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

use base::{
    error::{Code, Failure, Result},
    ui,
};
use cli::Invocation;

/// Runs `lclaude` with this process's arguments and exits with its exit code.
pub fn main() -> ! {
    std::panic::set_hook(Box::new(|panic| {
        let bug = Failure::panicked(panic);
        ui::message_lines(&bug);
        std::process::exit(bug.exit_code().into());
    }));
    let code = cli::parse(std::env::args_os().skip(1).collect()).and_then(dispatch).unwrap_or_else(|failure| {
        ui::message_lines(&failure);
        failure.exit_code()
    });
    // Returning would wait for a thread that may be waiting for another process's lock.
    std::process::exit(code.into());
}

fn dispatch(invocation: Invocation) -> Result<u8> {
    match invocation {
        Invocation::Session(session) => launch::session(session),
        Invocation::Keeper => Ok(keeper::run().map_or(Code::Unavailable as u8, |()| 0)),
        Invocation::Local(verb) => local::run(verb),
        Invocation::Complete(words) => {
            complete::run(&words);
            Ok(0)
        }
        Invocation::Print(text) => {
            ui::print(&text);
            Ok(0)
        }
        Invocation::Help => launch::print_both(&cli::help(), "--help"),
        Invocation::Version => launch::print_both(concat!(env!("CARGO_PKG_VERSION"), " (lclaude)"), "--version"),
    }
}
