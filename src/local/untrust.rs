//! `lclaude local untrust`: revokes the trust in a project file, which may no longer exist.

use std::path::{Path, PathBuf};

use super::trust::{NO_FILE, canonical, no_file, shown};
use crate::{
    base::{environment::Environment, error::Result, ui},
    cli::UntrustArguments,
    config::{
        project::{FILE_NAME, locate},
        trust::TrustList,
    },
};

const LIST: &str = "lclaude local trust --list";

pub(crate) fn run(arguments: UntrustArguments) -> Result<u8> {
    let environment = Environment::read()?;
    let store = TrustList::new(&environment.places.state);
    let path = match arguments.file {
        Some(named) => find(&named, &store)?,
        None => {
            let directory = environment.working_dir()?;
            locate(&environment)?.ok_or_else(|| no_file(directory).cause(NO_FILE).help(LIST))?
        }
    };
    let was_trusted = store.change(|trusted| trusted.remove(&path).is_some())?;
    let result = if was_trusted { "is no longer trusted" } else { "was not trusted" };
    ui::message(format_args!("lclaude: {} {result}", shown(&path)));
    Ok(0)
}

/// Returns the path as it is listed, even if its directory no longer exists, or else the canonical path.
fn find(named: &Path, store: &TrustList) -> Result<PathBuf> {
    let listed = store.list()?.into_keys().find(|path| shown(path) == named.to_string_lossy());
    let file = if named.is_dir() { named.join(FILE_NAME) } else { named.to_owned() };
    match listed {
        Some(path) => Ok(path),
        None => canonical(&file).map_err(|error| no_file(named).cause(error).help(LIST)),
    }
}
