//! The user's `.claude.json`: flags of our variables, finished migrations, and invented prices.

use std::path::Path;

use serde_json::{Map, Value};

use super::{
    file::{lock, put_back, write},
    record::Record,
};
use crate::base::disk;

/// Set when Claude Code has renamed models in the user's settings. Some renamings depend on the provider, so a session
/// with another one leaves them to the next start of Claude Code.
const MIGRATIONS: &[&str] = &["migrationVersion", "opusProMigrationComplete", "hasResetAutoModeOptInForDefaultOffer"];

/// Set by `CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL`, and final: Claude Code would never install it.
const MARKETPLACE: &[&str] = &[
    "officialMarketplaceAutoInstallAttempted",
    "officialMarketplaceAutoInstalled",
    "officialMarketplaceAutoInstallFailReason",
];

/// Returns the flags that are put back after a session.
pub(super) fn flags(file: &Path) -> Map<String, Value> {
    let state = read(file).unwrap_or_default();
    MIGRATIONS.iter().filter_map(|key| Some(((*key).to_owned(), state.get(*key)?.clone()))).collect()
}

/// Returns whether a migration ran since the record was made.
pub(super) fn is_migrated(record: &Record) -> bool {
    flags(&record.state) != record.flags
}

/// Puts back what the session wrote.
pub(super) fn restore(record: &Record) {
    let to_restore = |file| {
        let state = read(file)?;
        let restored = restored(record, state.clone());
        (restored != state).then_some(restored)
    };
    // A session that changed nothing takes no lock.
    if to_restore(&record.state).is_none() {
        return;
    }
    let (file, _lock) = lock(&record.state);
    // Read again, now that nobody else writes it.
    if let Some(restored) = to_restore(&file)
        && let Err(error) = write(&file, &restored)
    {
        tracing::warn!(?error, file = ?file, "state not restored");
    }
}

/// Returns the state without what the session wrote.
fn restored(record: &Record, mut state: Map<String, Value>) -> Map<String, Value> {
    for key in MIGRATIONS {
        put_back(&mut state, key, record.flags.get(*key));
    }
    if state.get("officialMarketplaceAutoInstallFailReason").is_some_and(|reason| reason == "policy_blocked") {
        for key in MARKETPLACE {
            state.shift_remove(*key);
        }
    }
    for project in state.get_mut("projects").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        remove_prices(record, project);
    }
    state
}

/// Sets the cost of our models to zero in what a project's last session used.
fn remove_prices(record: &Record, project: &mut Value) {
    let Some(usage) = project.get_mut("lastModelUsage").and_then(Value::as_object_mut) else {
        return;
    };
    let mut has_ours = false;
    for (_, used) in usage.iter_mut().filter(|(name, _)| record.is_model(name)) {
        if let Some(cost) = used.get_mut("costUSD").filter(|cost| **cost != 0) {
            *cost = 0.into();
            has_ours = true;
        }
    }
    if has_ours && let Some(cost) = project.get_mut("lastCost") {
        *cost = 0.into();
    }
}

fn read(file: &Path) -> Option<Map<String, Value>> {
    serde_json::from_slice(&disk::read(file).ok()?).ok()
}
