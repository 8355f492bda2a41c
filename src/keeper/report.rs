//! The status report of a keeper, as plain data for the verbs of `lclaude local`.
//!
//! It may come from another version of lclaude, so every field has a default, and names are strings.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::start::StartRequest;
use crate::{
    backend::{Endpoint, Progress, Served},
    base::{error::Failure, process::Group},
};

/// A backend that is up, starting, or left behind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    pub about: KeeperInfo,
    /// The runtime directory in which its keeper was found.
    #[serde(skip)]
    pub runtime: PathBuf,
    pub state: State,
    /// Set once the backend is ready, as is `endpoint`.
    pub served: Option<Served>,
    /// Its token is a secret: it only leaves the keeper through the socket, in a private directory, and must only be
    /// shown when the user asks for it.
    pub endpoint: Option<Endpoint>,
    /// The process group, if lclaude started the server.
    pub group: Option<Group>,
    pub sessions: Vec<SessionInfo>,
    /// Restarts after a crash.
    pub restarts: u32,
    /// Seconds since the keeper started, or `None` if it didn't answer.
    pub up_for: Option<u64>,
    /// What the server is doing, if its kind reports that.
    pub activity: Option<Activity>,
}

/// The part of a report that the status line shows.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Glance {
    pub state: State,
    pub activity: Option<Activity>,
    /// The context window in tokens, once the backend is ready.
    pub context: Option<u32>,
}

/// What a server is doing for its last request. All numbers are tokens; `None` stands for unknown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Activity {
    pub phase: Phase,
    /// While it reads: what it has of the prompt, including what was cached. While it writes: the answer so far.
    pub tokens: Option<u64>,
    /// While it reads: the whole prompt. An estimate until the prompt is read.
    pub of: Option<u64>,
    /// While it reads: the part of the prompt that it has, from 0 to 1.
    pub fraction: Option<f64>,
    pub tokens_per_second: Option<f64>,
    /// Seconds until the whole prompt is read.
    pub seconds_left: Option<u64>,
    /// Seconds since the phase began.
    pub seconds: u64,
    /// The tokens in the server's context.
    pub used: Option<u64>,
    /// How much of the last prompt was cached.
    pub prompt_cache: Option<PromptUse>,
}

impl Activity {
    /// Returns the activity of a server that has nothing to do.
    pub(crate) fn idle() -> Self {
        Activity { phase: Phase::Idle, ..Activity::default() }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Idle,
    Reading,
    Writing,
    /// Sent by another version.
    #[default]
    #[serde(other)]
    Unknown,
}

/// How much of a prompt the server had in its cache, in tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PromptUse {
    pub cached: u64,
    pub total: u64,
}

/// What stays the same for a keeper's lifetime.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct KeeperInfo {
    /// The plan's ID: 16 hex digits.
    pub id: String,
    /// The version of lclaude.
    pub version: String,
    /// The keeper's PID, or 0 if unknown.
    pub keeper: i32,
    pub kind: String,
    /// The program's path, or the server's name.
    pub name: String,
    pub models: Vec<String>,
    /// Where the model comes from.
    pub origin: String,
    /// The requested context window in tokens.
    pub context: u32,
    /// The backend's log.
    pub log: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(crate) enum State {
    Starting,
    Progress(Progress),
    Ready,
    /// Ready, but unused.
    Lingering {
        /// Seconds until it stops.
        left: u64,
    },
    Restarting {
        reason: String,
    },
    Failed {
        failure: Failure,
    },
    Stopping,
    /// The keeper doesn't answer.
    Stuck,
    /// The keeper is gone, but what it ran was not cleaned up.
    LeftBehind,
    /// Sent by another version.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A session that holds a lease.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SessionInfo {
    /// The version of lclaude.
    pub version: String,
    pub pid: u32,
    /// The working directory.
    pub directory: String,
    /// Seconds since it took the lease.
    pub held_for: u64,
}

impl Report {
    /// Returns the first 8 digits of the plan's ID, enough for the command line.
    pub(crate) fn short_id(&self) -> &str {
        self.about.id.get(..8).unwrap_or(&self.about.id)
    }
}

impl KeeperInfo {
    /// Describes this process as a keeper.
    pub(crate) fn of_keeper(start: &StartRequest) -> Self {
        let plan = &start.plan;
        KeeperInfo {
            id: plan.id(),
            version: env!("CARGO_PKG_VERSION").into(),
            keeper: std::process::id().cast_signed(),
            kind: plan.kind.to_string(),
            name: plan.name(),
            models: plan.models.clone(),
            origin: plan.origin.clone(),
            context: plan.context,
            log: start.log.to_string_lossy().into_owned(),
        }
    }
}

impl SessionInfo {
    pub(crate) fn of_self() -> Self {
        let directory = std::env::current_dir().unwrap_or_default();
        SessionInfo {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            directory: directory.to_string_lossy().into_owned(),
            held_for: 0,
        }
    }
}
