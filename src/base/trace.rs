//! lclaude's own debug log, off unless `LCLAUDE_LOG` names a level.
//!
//! Sessions and keepers write to the same file, one line per event. No secret may be logged; the `Debug` output of
//! `Endpoint` masks its token.

use std::{path::Path, sync::Mutex};

use tracing::level_filters::LevelFilter;

use super::{disk, variables::LOG};

/// Starts writing to `lclaude.log` in `state` if `LCLAUDE_LOG` is set. A log that can't be written is not an error.
///
/// Returns a warning if the level is invalid.
pub(crate) fn start(state: &Path) -> Option<String> {
    let asked = std::env::var(LOG).ok().filter(|asked| !asked.is_empty())?;
    let Ok(level) = asked.parse::<LevelFilter>() else {
        return Some(format!("invalid value {asked:?} for {LOG}: use off, error, warn, info, debug or trace"));
    };
    let _ = disk::create_private_dir(state);
    let file = disk::private().append(true).create(true).open(state.join("lclaude.log")).ok()?;
    let log =
        tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_target(false).log_internal_errors(false);
    let _ = log.with_writer(Mutex::new(file)).try_init();
    None
}
