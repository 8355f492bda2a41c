//! What a keeper tells of itself to whoever asks: plain data, for people and for the verbs of `lclaude local`.
//!
//! The keeper that answers may be of another version, so every part has a default, and names are text.

use serde::{Deserialize, Serialize};

use super::start::Start;
use crate::{
    backend::{Endpoint, Progress, Served},
    base::{error::Failure, process::Group},
};

/// A backend that is up, or coming up, or left behind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    pub about: About,
    pub state: State,
    /// Both once it is ready.
    pub served: Option<Served>,
    /// Its token is a secret: it leaves the keeper through its socket, in a directory that is ours alone, and no further
    /// than to whom the user hands it.
    pub endpoint: Option<Endpoint>,
    /// The processes of ours behind it, if any.
    pub group: Option<Group>,
    pub sessions: Vec<Session>,
    /// How often it was started again after a crash.
    pub restarts: u32,
    /// Seconds since the keeper came; `None` where it has not said so itself.
    pub up_for: Option<u64>,
}

/// What stays the same from a keeper's start to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// The plan's: 16 hex digits.
    pub id: String,
    /// Of lclaude.
    pub version: String,
    /// The keeper's process; 0 where it is not known.
    pub keeper: i32,
    pub kind: String,
    /// The program's path, or what else serves.
    pub name: String,
    pub models: Vec<String>,
    /// Where the model is.
    pub origin: String,
    /// Tokens asked for.
    pub context: u32,
    /// The backend's log.
    pub log: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum State {
    Starting,
    Progress(Progress),
    Ready,
    /// Ready, and nobody uses it.
    Lingering {
        /// Seconds until it ends.
        left: u64,
    },
    Restarting {
        reason: String,
    },
    Failed {
        failure: Failure,
    },
    Stopping,
    /// There is a keeper, and it does not answer.
    Stuck,
    /// There is no keeper, and what it ran was not tidied up.
    LeftBehind,
    /// Something of another version's.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Who holds a lease.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    /// Of lclaude.
    pub version: String,
    pub pid: u32,
    /// Its working directory.
    pub directory: String,
    /// Seconds since it took the lease.
    pub held_for: u64,
}

impl Report {
    /// As much of its id as one types.
    pub fn short_id(&self) -> &str {
        self.about.id.get(..8).unwrap_or(&self.about.id)
    }
}

impl About {
    /// What this process, a keeper, is about.
    pub fn keeper(start: &Start) -> Self {
        let plan = &start.plan;
        About {
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

impl Session {
    pub fn of_self() -> Self {
        let directory = std::env::current_dir().unwrap_or_default();
        Session {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            directory: directory.to_string_lossy().into_owned(),
            held_for: 0,
        }
    }
}
