//! A backend that is coming up: how it answers, what it tells meanwhile, and why it cannot be used.

use reqwest::Client;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};

use super::{plan::Endpoint, undo::Undo};
use crate::base::{
    error::{Code, Failure},
    variables::Variables,
};

/// How a backend that is coming up answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Nobody listens yet.
    Silent,
    /// It listens, and its model is still being loaded.
    Loading,
    Up,
    /// Something answers, but it is not ours.
    Stranger,
}

/// Why a backend that runs cannot be used.
#[derive(Debug)]
pub enum Unfit {
    /// Something else answers on its port.
    Stranger,
    Failed(Failure),
}

impl From<Failure> for Unfit {
    fn from(failure: Failure) -> Self {
        Unfit::Failed(failure)
    }
}

/// Something its log told about a start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub stage: String,
    /// From 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f32>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What a start has to say while it goes on, and what wakes it.
pub struct Starting<'a> {
    pub client: &'a Client,
    pub endpoint: &'a Endpoint,
    /// What the keeper was started with.
    pub variables: &'a Variables,
    pub progress: mpsc::UnboundedSender<Progress>,
    /// A line of the log came, so a look may be worth while.
    pub line_came: &'a Notify,
    /// Whether the user agreed to a download.
    pub may_pull: bool,
    /// Writes down what has to be undone at the end.
    pub note: &'a dyn Fn(Undo),
}

impl Starting<'_> {
    pub fn tell(&self, stage: &str, fraction: Option<f32>, detail: impl Into<String>) {
        // The keeper may have stopped listening; then it has stopped this too.
        let _ = self.progress.send(Progress { stage: stage.into(), fraction, detail: detail.into() });
    }

    /// To be called before the thing is done.
    pub fn will_undo(&self, undo: Undo) {
        (self.note)(undo);
    }
}

/// The failure for a server that answers, but not as it should.
pub fn unexpected_response(name: &str, url: &str) -> Failure {
    Failure::new(Code::Unavailable, format!("{name} is something else"))
        .why("it does not answer as it should")
        .help(format!("curl -v {url}"))
}
