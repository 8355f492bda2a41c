//! `lclaude local untrust`: takes back what `trust` gave, also for a file that has gone.

use std::path::PathBuf;

use super::trust::{NO_FILE, canonical, no_file};
use crate::{
    config::{
        project::{NAME, locate},
        trust::Store,
    },
    error::Result,
    paths::Places,
    plan, ui,
};

/// Take back what trust allowed
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The file, or its directory [default: where you are]
    pub file: Option<PathBuf>,
}

pub fn run(arguments: Arguments) -> Result<u8> {
    let places = Places::find()?;
    let path = match arguments.file {
        Some(named) if named.is_dir() => canonical(&named.join(NAME))?,
        Some(named) => canonical(&named)?,
        None => {
            let here = plan::here()?;
            let missing = || no_file(&here).why(NO_FILE).help("lclaude local trust --list");
            locate(&here, &places.home).ok_or_else(missing)?
        }
    };
    let was_trusted = Store::new(&places.state).change(|trusted| trusted.remove(&path).is_some())?;
    let word = if was_trusted { "is no longer trusted" } else { "was not trusted" };
    ui::say(format_args!("lclaude: {} {word}", path.display()));
    Ok(0)
}
