//! A backend that is starting: its health, its progress, and why it can't be used.

use std::pin::Pin;

use reqwest::Client;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};

use super::{plan::Endpoint, undo::Undo};
use crate::base::{
    error::{Code, Failure},
    process::Listener,
    variables::Variables,
};

/// The health of a starting backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// Nothing listens yet.
    Unreachable,
    /// It listens, but its model is still loading.
    Loading,
    Up,
    /// Another server answers on its port.
    NotOurs,
}

/// Whether a server that lclaude didn't start is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It serves the plan's models.
    Serving,
    /// It didn't answer in time, or answered that it is overloaded.
    Busy,
    /// It refused the connection, or no longer has the models.
    Gone,
}

/// Why a running backend can't be used.
#[derive(Debug)]
pub(crate) enum StartError {
    /// Another server answers on its port.
    NotOurs,
    /// A model must be downloaded first, and nobody has agreed to that.
    ModelMissing(MissingModel),
    Failed(Failure),
}

/// A model that a backend needs and doesn't have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MissingModel {
    /// The name that the user wrote, or the default.
    pub model: String,
    /// Whether it can be downloaded by that name.
    pub can_download: bool,
    /// The failure if it isn't downloaded.
    pub failure: Failure,
    /// Installed models that can call tools, if only the running server knows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub installed: Vec<ReportedModel>,
}

/// An installed model of which a running server reports this much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReportedModel {
    pub name: String,
    /// Bytes.
    pub size: Option<u64>,
    /// Tokens it was trained for.
    pub trained: Option<u32>,
}

impl From<Failure> for StartError {
    fn from(failure: Failure) -> Self {
        StartError::Failed(failure)
    }
}

/// One step of a start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub stage: String,
    /// From 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f32>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Completes once an undo is recorded.
pub(crate) type Noted<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// What a kind needs to wait for a start and to report its progress.
pub(crate) struct Starting<'a> {
    pub client: &'a Client,
    pub endpoint: &'a Endpoint,
    /// The environment of the keeper, or of lclaude itself for a server that needs no keeper.
    pub variables: &'a Variables,
    pub progress: mpsc::UnboundedSender<Progress>,
    /// Notified for each log line, which may mean that the backend is up.
    pub new_log_line: &'a Notify,
    /// Whether the user agreed to downloads.
    pub may_pull: bool,
    /// Records what to undo at the end.
    pub note: &'a dyn Fn(Undo) -> Noted<'a>,
    /// Returns who listens on the backend's port; always `Ours` for a server that lclaude doesn't start.
    pub listener: &'a dyn Fn() -> Listener,
}

impl Starting<'_> {
    /// Reports a step to the sessions.
    pub(crate) fn report(&self, stage: &str, fraction: Option<f32>, detail: impl Into<String>) {
        // A closed channel means that the keeper has given up this start.
        let _ = self.progress.send(Progress { stage: stage.into(), fraction, detail: detail.into() });
    }

    /// Records what to undo at the end, and returns once it is written. Call it before the change is made.
    pub(crate) async fn record_undo(&self, undo: Undo) {
        (self.note)(undo).await;
    }
}

/// Returns the failure for a server that isn't the expected one.
pub(crate) fn unexpected_response(name: &str, url: &str) -> Failure {
    Failure::new(Code::Unavailable, format!("unexpected response from {name}"))
        .cause(format!("the server at {url} may be a different program"))
        .help(format!("curl -v {url}"))
}
