//! What a keeper is started with.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    backend::{BackendPlan, Endpoint},
    config::Lifetime,
};

/// All a keeper needs to know.
#[derive(Clone, Serialize, Deserialize)]
pub struct Start {
    pub plan: BackendPlan,
    pub lifetime: Lifetime,
    pub runtime: PathBuf,
    /// The backend's log.
    pub log: PathBuf,
    /// Where our own is.
    pub state: PathBuf,
    /// Whether the user agreed to a download.
    pub may_pull: bool,
    /// The key of a server that has one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Where the backend is, when that is settled: where a lost keeper's was, or where somebody else runs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Start({:?}, token masked)", self.plan)
    }
}

impl Start {
    /// The same, on the port and with the key that a running Claude Code already has.
    pub fn at(&self, endpoint: Endpoint) -> Self {
        Start { endpoint: Some(endpoint), ..self.clone() }
    }
}
