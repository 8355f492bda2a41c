//! The message that configures a new keeper.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::warm::request::WarmStart;
use crate::{
    backend::{BackendPlan, Endpoint},
    config::Lifetime,
};

/// Everything a keeper needs to know. It is sent through a socket, since it contains the key.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct StartRequest {
    pub plan: BackendPlan,
    pub lifetime: Lifetime,
    pub runtime: PathBuf,
    /// All runtime directories of this user, in which dead keepers and sessions may have left something.
    pub places: Vec<PathBuf>,
    /// The backend's log.
    pub log: PathBuf,
    /// The state directory, which holds lclaude's own log.
    pub state: PathBuf,
    /// Whether the user agreed to a download.
    pub may_pull: bool,
    /// The key, if the server already has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The address and key of a server that somebody else runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// What the session wants of warm starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm: Option<WarmStart>,
}

impl fmt::Debug for StartRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Start({:?}, token masked)", self.plan)
    }
}
