//! lclaude's own log, for finding out why it did what it did: off unless `LCLAUDE_LOG` names a level.
//!
//! Session and keeper write the same file, a line an event with the process's number. No secret may be written; an
//! `Endpoint` masks its token by itself.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::Path, sync::Mutex};

use tracing::level_filters::LevelFilter;

use super::{disk, variables::LOG};

/// Starts writing to `lclaude.log` in `state`, if the user asks for it. A log that cannot be written is no reason to fail.
///
/// Gives a warning for a level that is none.
pub fn start(state: &Path) -> Option<String> {
    let asked = std::env::var(LOG).ok().filter(|asked| !asked.is_empty())?;
    let Ok(level) = asked.parse::<LevelFilter>() else {
        return Some(format!("{LOG} is off, error, warn, info, debug or trace, not {asked:?}"));
    };
    let _ = disk::make_dir(state);
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(state.join("lclaude.log")).ok()?;
    let log =
        tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_target(false).log_internal_errors(false);
    let _ = log.with_writer(Mutex::new(file)).try_init();
    None
}
