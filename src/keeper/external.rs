//! The sessions of servers that lclaude doesn't run. They have no keeper, so each leaves its report in its private
//! directory, where `lclaude local status` finds it.

use std::{fs, path::Path, time::SystemTime};

use serde::{Deserialize, Serialize};

use super::{
    protocol::Ready,
    report::{KeeperInfo, Report, SessionInfo, State},
    start::StartRequest,
};
use crate::base::{disk, process::Identity, scratch};

const FILE: &str = "endpoint.json";

/// What a session leaves.
#[derive(Serialize, Deserialize)]
struct ExternalSession {
    process: Identity,
    report: Report,
}

/// Writes the report of this session to its private directory. It contains the token, as the settings there do.
pub(crate) fn record(start: &StartRequest, ready: &Ready, scratch: &Path) {
    let Some(process) = Identity::of_self() else { return };
    let report = Report {
        about: KeeperInfo { keeper: 0, log: String::new(), ..KeeperInfo::of_keeper(start) },
        state: State::Ready,
        served: Some(ready.served.clone()),
        endpoint: Some(ready.endpoint.clone()),
        sessions: vec![SessionInfo::of_self()],
        ..Report::default()
    };
    let content = serde_json::to_vec(&ExternalSession { process, report }).expect("a report is plain data");
    if let Err(error) = disk::create_private(&scratch.join(FILE), &content) {
        // Only `lclaude local status` needs it.
        tracing::warn!(%error, "the session's report was not written");
    }
}

/// Returns the servers that sessions of `runtime` use without a keeper, each with all its sessions.
pub(crate) fn list(runtime: &Path) -> Vec<Report> {
    let mut found: Vec<Report> = Vec::new();
    let mut directories: Vec<_> = fs::read_dir(runtime).into_iter().flatten().flatten().map(|at| at.path()).collect();
    directories.sort();
    for directory in directories.iter().filter(|directory| scratch::owner(directory).is_some()) {
        let Some(mut report) = read(&directory.join(FILE)) else { continue };
        match found.iter_mut().find(|known| known.about.id == report.about.id) {
            Some(known) => known.sessions.append(&mut report.sessions),
            None => found.push(report),
        }
    }
    found
}

fn read(file: &Path) -> Option<Report> {
    let ExternalSession { process, mut report } = serde_json::from_slice(&disk::read(file).ok()?).ok()?;
    let written = file.metadata().and_then(|meta| meta.modified()).ok()?;
    let held_for = SystemTime::now().duration_since(written).map_or(0, |age| age.as_secs());
    report.sessions.iter_mut().for_each(|session| session.held_for = held_for);
    process.is_alive().then_some(report)
}
