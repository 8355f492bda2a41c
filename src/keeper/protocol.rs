//! The protocol between sessions and keepers: one JSON object per line, over a unix socket.
//!
//! A keeper first reads its [`StartRequest`](super::start::StartRequest) from the session that started it. Every
//! session, including that one, then sends `hello`, and the open connection becomes its lease. `status` and `stop` take
//! no lease and get an [`Answer`]. They may come from another version of lclaude, so unknown messages are ignored and
//! missing fields have defaults.

use std::path::PathBuf;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncBufRead, AsyncWrite, AsyncWriteExt, Lines};

use super::report::{Report, SessionInfo};
use crate::{
    backend::{Endpoint, MissingModel, Progress, Served},
    base::{
        error::Failure,
        process::{Group, Identity},
    },
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ToKeeper {
    /// Takes a lease. The keeper removes `scratch`, the session's private directory, if the session can't.
    Hello {
        scratch: PathBuf,
        /// Shown to the user.
        #[serde(default)]
        session: SessionInfo,
    },
    /// The running Claude Code process, to end if its session dies.
    Child { process: Identity },
    /// These processes, the child and its descendants, are stopped until the backend listens again. Continue them if the
    /// session dies.
    Held { processes: Vec<Identity> },
    /// Asks what runs and who uses it.
    Status,
    /// Stops the backend and the keeper. Needs `force` while sessions use them.
    Stop {
        #[serde(default)]
        force: bool,
    },
    /// Sent by another version.
    #[serde(other)]
    Unknown,
}

/// The answer to `status` or `stop`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Answer {
    Status {
        report: Box<Report>,
    },
    /// Not stopped, because these sessions use it.
    InUse {
        #[serde(default)]
        sessions: Vec<SessionInfo>,
    },
    /// Stopping; the connection closes when backend and keeper are gone. These sessions are notified.
    Stopping {
        #[serde(default)]
        sessions: Vec<SessionInfo>,
    },
    /// Sent by another version.
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum FromKeeper {
    Starting,
    Progress(Progress),
    Ready(Ready),
    /// The backend crashed and is restarting on the same port. If that is lent to it, it starts once every session has
    /// sent `held`.
    Restarting {
        reason: String,
    },
    /// The restarted backend has its port again, but its model may still be loading. Only if the port is lent.
    Listening,
    /// The backend won't be restarted.
    Failed {
        failure: Failure,
    },
    /// The backend needs a model that nobody has agreed to download.
    ModelMissing(MissingModel),
    /// The last lease closed; the connection closes when the backend is gone.
    Stopping,
    /// This lease is closed, and the backend stays up.
    Released,
}

/// A backend that accepts requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub endpoint: Endpoint,
    pub served: Served,
    /// The process group, if lclaude started the server.
    pub group: Option<Group>,
}

pub(crate) fn encode(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("messages are plain data");
    line.push(b'\n');
    line
}

pub(crate) async fn send(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> std::io::Result<()> {
    to.write_all(&encode(message)).await
}

/// Returns the next message, or `None` if the connection is closed or the message can't be parsed.
pub(crate) async fn receive<T: DeserializeOwned>(from: &mut Lines<impl AsyncBufRead + Unpin>) -> Option<T> {
    let line = from.next_line().await.ok().flatten()?;
    serde_json::from_str(&line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::{BackendPlan, Program, Service, registry},
        config::Settings,
        keeper::start::StartRequest,
    };

    #[test]
    fn debug_output_contains_no_secrets() {
        let secret = "a secret".to_owned();
        let mut program = Program::new("/bin/server".into());
        program.environment.insert("HF_TOKEN".into(), secret.clone());
        let start = StartRequest {
            plan: BackendPlan {
                kind: registry::ALL[0].kind(),
                service: Service::Program(program),
                models: vec!["tiny".into()],
                origin: String::new(),
                context: 0,
            },
            lifetime: Settings::default().lifetime,
            runtime: PathBuf::new(),
            log: PathBuf::new(),
            state: PathBuf::new(),
            may_pull: false,
            token: Some(secret.clone()),
            endpoint: Some(Endpoint::new("http://127.0.0.1:1".into(), 1, secret.clone())),
        };
        let shown = format!("{start:?} {:?}", start.endpoint);
        assert!(shown.contains("/bin/server") && shown.contains("tiny"), "{shown}");
        assert!(!shown.contains(&secret), "{shown}");
    }
}
