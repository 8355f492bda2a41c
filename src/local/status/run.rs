//! Prints the status once, or hands over to `--watch`.

use super::{json, seen::Viewer, text, watch};
use crate::{
    base::{environment::Environment, error::Result, exit::Exit, ui, wait},
    cli::StatusArguments,
};

pub(crate) fn run(arguments: StatusArguments) -> Result<Exit> {
    let environment = Environment::read()?;
    let runtime = wait::event_loop()?;
    if arguments.watch {
        return runtime.block_on(watch::run(&environment.places.runtimes()?));
    }
    let places = environment.places.runtimes()?;
    let seen = runtime.block_on(Viewer::new(&places).look());
    if arguments.json {
        ui::print_json(&json::text(&seen));
    } else {
        ui::print(&text::all(&seen));
    }
    Ok(Exit::Code(0))
}
