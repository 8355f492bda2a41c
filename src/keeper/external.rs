//! The sessions of servers that lclaude doesn't run. They have no keeper, so each leaves its report in its private
//! directory, where `lclaude local status` finds it.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    protocol::Ready,
    report::{KeeperInfo, Report, SessionInfo, State},
    start::StartRequest,
};
use crate::base::{disk, scratch};

const FILE: &str = "endpoint.json";

/// Writes the report of this session to its private directory. It contains the token, as the settings there do.
pub(crate) fn record(start: &StartRequest, ready: &Ready, scratch: &Path) {
    let report = Report {
        about: KeeperInfo { keeper: 0, log: String::new(), ..KeeperInfo::of_keeper(start) },
        state: State::Ready,
        served: Some(ready.served.clone()),
        endpoint: Some(ready.endpoint.clone()),
        sessions: vec![SessionInfo::of_self()],
        ..Report::default()
    };
    let content = serde_json::to_vec(&report).expect("a report is plain data");
    if let Err(error) = disk::create_private(&scratch.join(FILE), &content) {
        // Only `lclaude local status` needs it.
        tracing::warn!(%error, "the session's report was not written");
    }
}

/// Returns the servers that sessions use without a keeper, each with all its sessions. `places`: the runtime directories.
pub(crate) fn list(places: &[PathBuf]) -> Vec<Report> {
    let mut found: Vec<Report> = Vec::new();
    let mut directories: Vec<_> = places.iter().flat_map(|place| scratch::list(place)).collect();
    directories.sort();
    for directory in directories {
        let Some(mut report) = read(&directory) else { continue };
        match found.iter_mut().find(|known| known.about.id == report.about.id) {
            Some(known) => known.sessions.append(&mut report.sessions),
            None => found.push(report),
        }
    }
    found
}

/// Returns the report of the session with this private directory, or `None` if it is dead or has a keeper.
fn read(directory: &Path) -> Option<Report> {
    let file = directory.join(FILE);
    let mut report: Report = serde_json::from_slice(&disk::read(&file).ok()?).ok()?;
    let written = file.metadata().and_then(|meta| meta.modified()).ok()?;
    let held_for = SystemTime::now().duration_since(written).map_or(0, |age| age.as_secs());
    report.sessions.iter_mut().for_each(|session| session.held_for = held_for);
    // Asked last, since a keeper may just then ask whether its own session is dead.
    scratch::is_alive(directory).then_some(report)
}
