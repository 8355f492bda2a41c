//! `lclaude local status`: the backends that are up, and who holds them.
//!
//! It only looks: it takes no lease, wakes nobody and makes no file.

use super::{json, seen::look, text, watch};
use crate::cli::Status;
use crate::{
    base::{environment::Environment, error::Result, ui},
    launch,
};

pub fn run(arguments: Status) -> Result<u8> {
    let environment = Environment::read()?;
    let runtime = launch::event_loop()?;
    if arguments.watch {
        return runtime.block_on(watch::run(environment.places.runtime()?));
    }
    let seen = runtime.block_on(look(environment.places.runtime()?));
    ui::print(&if arguments.json { json::text(&seen) } else { text::all(&seen) });
    Ok(0)
}
