//! The user's `settings.json`: the model, and the effort of our models.

use std::{fs, path::Path};

use serde_json::{Map, Value};

use super::{
    file::{lock, put_back, write},
    record::Record,
    state, transcripts,
};
use crate::base::disk;

const MODEL: &str = "model";
/// Settings of single models, such as the effort.
const OF_MODELS: &str = "modelSettings";

/// Returns whether `text` is what the session of the record left in the settings file.
pub(super) fn is_left_by(record: &Record, text: Option<&str>) -> bool {
    let (Some(now), Some(was)) = (parse(text), parse(record.text.as_deref())) else {
        return false;
    };
    is_model_written(record, &now, &was)
}

/// Puts back what the session wrote.
pub(super) fn restore(record: &Record) {
    // A session that changed nothing takes no lock.
    if read(&record.settings) == record.text {
        return;
    }
    let (file, _lock) = lock(&record.settings);
    let (Some(now), Some(was)) = (parse(read(&file).as_deref()), parse(record.text.as_deref())) else {
        return;
    };
    let restored = restored(record, &now, &was);
    if restored == now {
        return;
    }
    let written = match &record.text {
        // Byte for byte, if nothing else changed.
        Some(text) if restored == was => disk::replace(&file, text.as_bytes()),
        None if restored.is_empty() => fs::remove_file(&file),
        _ => write(&file, &restored),
    };
    if let Err(error) = written {
        tracing::warn!(?error, file = ?file, "settings not restored");
    }
}

/// Returns the settings without what the session wrote.
fn restored(record: &Record, now: &Map<String, Value>, was: &Map<String, Value>) -> Map<String, Value> {
    let mut settings = now.clone();
    if is_model_written(record, now, was) {
        put_back(&mut settings, MODEL, was.get(MODEL));
    }
    let before = was.get(OF_MODELS);
    if let Some(of_models) = settings.get_mut(OF_MODELS).and_then(Value::as_object_mut) {
        for (_, model) in &record.aliases {
            put_back(of_models, model, before.and_then(|before| before.get(model)));
        }
        if of_models.is_empty() && before.is_none() {
            settings.shift_remove(OF_MODELS);
        }
    }
    settings
}

/// Returns whether the model has changed from `was` to `now`, and by the session rather than by the user in another one
/// or in an editor.
fn is_model_written(record: &Record, now: &Map<String, Value>, was: &Map<String, Value>) -> bool {
    if now.get(MODEL) == was.get(MODEL) {
        return false;
    }
    let model = now.get(MODEL).and_then(Value::as_str);
    model.is_some_and(|name| record.is_model(name))
        // Claude Code renames an older model at its start. Its next start does so again.
        || (was.contains_key(MODEL) && state::is_migrated(record))
        || transcripts::last_choice(&record.projects, &record.since)
            .is_some_and(|choice| record.is_saved_as(&choice, model))
}

fn read(file: &Path) -> Option<String> {
    disk::read_to_string(file).ok()
}

/// Returns the settings, none for a missing file, or `None` if they are invalid.
fn parse(text: Option<&str>) -> Option<Map<String, Value>> {
    text.map_or_else(|| Some(Map::new()), |text| serde_json::from_str(text).ok())
}
