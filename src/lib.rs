//! `lclaude`: Claude Code on a model of your own.
//!
//! The rooms, from the ground up. Each imports only from rooms above it in this list; a test holds that, and
//! `docs/architecture.md` says what each is for.

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
use cli::Command;

/// Runs `lclaude` with this process's arguments, and ends the process with the exit code.
pub fn main() -> ! {
    std::panic::set_hook(Box::new(|panic| {
        let bug = Failure::new(Code::Bug, "a bug in lclaude")
            .why(panic)
            .help("please report it, with the command that led to it");
        ui::say(&bug);
        std::process::exit(bug.exit_code().into());
    }));
    let code = cli::parse(std::env::args_os().skip(1).collect()).and_then(dispatch).unwrap_or_else(|failure| {
        ui::say(&failure);
        failure.exit_code()
    });
    // Not by returning: a thread may still wait for a lock that another process holds.
    std::process::exit(code.into());
}

fn dispatch(command: Command) -> Result<u8> {
    match command {
        Command::Session(session) => launch::session(session),
        Command::Keeper => Ok(keeper::run().map_or(Code::Unavailable as u8, |()| 0)),
        Command::Local(verb) => local::run(verb),
        Command::Complete(words) => {
            complete::run(&words);
            Ok(0)
        }
        Command::Explain(text) => {
            ui::print(&text);
            Ok(0)
        }
        Command::Help => launch::show_both(&cli::help(), "--help"),
        Command::Version => launch::show_both(concat!(env!("CARGO_PKG_VERSION"), " (lclaude)"), "--version"),
    }
}
