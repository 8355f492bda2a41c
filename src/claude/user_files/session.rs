//! Records the user's files at the start of a session, in its private directory, and puts them back at its end.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{record::Record, settings, state};
use crate::{
    backend::Tiers,
    base::{disk, environment::Environment, scratch},
    claude::throwaway::{answers_file, config_dir},
    config::Tier,
};

/// The record's name in the private directory.
const NAME: &str = "user-files.json";

/// Records the user's files in `scratch`, a session's private directory. `others`: models that the session can switch to,
/// besides those of the tiers. `places`: the runtime directories, where other
/// sessions have theirs. Errors are ignored: without a record, nothing is put back.
pub(crate) fn record(environment: &Environment, tiers: &Tiers, others: &[String], scratch: &Path, places: &[PathBuf]) {
    let (config_dir, state) = (config_dir(environment), answers_file(environment));
    let settings = config_dir.join("settings.json");
    let aliases = tiers.iter().filter(|(tier, _)| *tier != Tier::Subagent);
    let mut record = Record {
        projects: config_dir.join("projects"),
        since: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        aliases: aliases
            .map(|(tier, model)| (tier.name().to_owned(), model.to_owned()))
            .chain(others.iter().map(|model| (model.clone(), model.clone())))
            .collect(),
        text: disk::read_to_string(&settings).ok(),
        flags: state::flags(&state),
        settings,
        state,
    };
    let is_left_by = |other: &Record| {
        other.settings == record.settings
            && other.text != record.text
            && settings::is_left_by(other, record.text.as_deref())
    };
    // What another session has written, and will put back, isn't the user's.
    if let Some(other) = records(places).find(is_left_by) {
        record.text = other.text;
    }
    if let Ok(text) = serde_json::to_vec(&record) {
        let _ = disk::create_private(&scratch.join(NAME), &text);
    }
}

/// Puts back what the session with the private directory `scratch` wrote into the user's files. Its Claude Code must
/// have exited. Does nothing if that has been done already.
pub(crate) fn restore(scratch: &Path) {
    let Some(record) = read(scratch) else {
        return;
    };
    settings::restore(&record);
    state::restore(&record);
    let _ = fs::remove_file(scratch.join(NAME));
}

fn read(scratch: &Path) -> Option<Record> {
    serde_json::from_slice(&disk::read(&scratch.join(NAME)).ok()?).ok()
}

/// Returns the records of all sessions.
fn records(places: &[PathBuf]) -> impl Iterator<Item = Record> {
    places.iter().flat_map(|place| scratch::list(place)).filter_map(|path| read(&path))
}
