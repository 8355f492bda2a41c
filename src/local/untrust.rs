//! `lclaude local untrust`: takes back what `trust` gave, also for a file that has gone.

use crate::cli::Untrust;
use std::path::{Path, PathBuf};

use super::trust::{NO_FILE, canonical, no_file, shown};
use crate::{
    base::{environment::Environment, error::Result, ui},
    config::{
        project::{NAME, locate},
        trust::Store,
    },
};

const LIST: &str = "lclaude local trust --list";

pub fn run(arguments: Untrust) -> Result<u8> {
    let environment = Environment::read()?;
    let store = Store::new(&environment.places.state);
    let path = match arguments.file {
        Some(named) => find(&named, &store)?,
        None => {
            let here = environment.working_dir()?;
            locate(&environment)?.ok_or_else(|| no_file(here).why(NO_FILE).help(LIST))?
        }
    };
    let was_trusted = store.change(|trusted| trusted.remove(&path).is_some())?;
    let word = if was_trusted { "is no longer trusted" } else { "was not trusted" };
    ui::say(format_args!("lclaude: {} {word}", shown(&path)));
    Ok(0)
}

/// The file as it is listed, whose directory may have gone, or else where it really is.
fn find(named: &Path, store: &Store) -> Result<PathBuf> {
    let listed = store.list()?.into_keys().find(|path| shown(path) == named.to_string_lossy());
    let file = if named.is_dir() { named.join(NAME) } else { named.to_owned() };
    match listed {
        Some(path) => Ok(path),
        None => canonical(&file).map_err(|error| no_file(named).why(error).help(LIST)),
    }
}
