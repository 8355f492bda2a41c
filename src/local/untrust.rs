//! `lclaude local untrust`: takes back what `trust` gave, also for a file that has gone.

use crate::cli::Untrust;
use std::path::{Path, PathBuf};

use super::trust::{NO_FILE, canonical, no_file, shown};
use crate::{
    base::{error::Result, paths::Places, ui},
    config::{
        project::{NAME, locate},
        trust::Store,
    },
    session::plan,
};

const LIST: &str = "lclaude local trust --list";

pub fn run(arguments: Untrust) -> Result<u8> {
    let places = Places::find()?;
    let store = Store::new(&places.state);
    let path = match arguments.file {
        Some(named) => find(&named, &store)?,
        None => {
            let here = plan::here()?;
            let missing = || no_file(&here).why(NO_FILE).help(LIST);
            locate(&here, &places.home).ok_or_else(missing)?
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
