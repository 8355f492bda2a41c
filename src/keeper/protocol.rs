//! What sessions and keepers say to each other: one JSON object a line, over a unix socket.
//!
//! The first line a keeper ever reads is its [`Start`], from the session that started it. Every session, that one
//! included, then says `hello`, and from there on the open connection is its lease. Who says `status` or `stop` instead
//! gets an [`Answer`] and has no lease. Those two may come from another version of lclaude: what it does not know is
//! passed over, and what it does not say has a default.

use std::path::PathBuf;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncBufRead, AsyncWrite, AsyncWriteExt, Lines};

use super::report::{Report, Session};
use crate::{
    backend::{Endpoint, Progress, Served},
    base::{
        error::Failure,
        process::{Group, Identity},
    },
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToKeeper {
    /// Takes a lease. `scratch` is the session's private directory, which the keeper removes if the session cannot.
    Hello {
        scratch: PathBuf,
        /// Who it is, for people.
        #[serde(default)]
        session: Session,
    },
    /// Claude Code as it runs, to be ended if its session dies.
    Child { process: Identity },
    /// What is up, and who uses it?
    Status,
    /// Ends the backend and the keeper: where sessions use them, only with `force`.
    Stop {
        #[serde(default)]
        force: bool,
    },
    /// Something of another version's.
    #[serde(other)]
    Unknown,
}

/// What `status` and `stop` are answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Answer {
    Status {
        report: Box<Report>,
    },
    /// Not ended: these sessions use it.
    InUse {
        #[serde(default)]
        sessions: Vec<Session>,
    },
    /// The connection ends when backend and keeper have. These sessions are told.
    Stopping {
        #[serde(default)]
        sessions: Vec<Session>,
    },
    /// Something of another version's.
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromKeeper {
    Starting,
    Progress(Progress),
    Ready(Ready),
    /// The backend crashed and is being started again on its port.
    Restarting {
        reason: String,
    },
    /// It is down for good.
    Failed {
        failure: Failure,
    },
    /// The last lease was closed: the connection ends when the backend has.
    Stopping,
    /// This lease is closed, and others are not.
    Released,
}

/// A backend that answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    pub endpoint: Endpoint,
    pub served: Served,
    /// The processes of ours behind it, if any.
    pub group: Option<Group>,
}

pub fn encode(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("messages are plain data");
    line.push(b'\n');
    line
}

pub async fn send(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> std::io::Result<()> {
    to.write_all(&encode(message)).await
}

/// The next message; `None` when the other end has closed, crashed, or talks nonsense.
pub async fn receive<T: DeserializeOwned>(from: &mut Lines<impl AsyncBufRead + Unpin>) -> Option<T> {
    let line = from.next_line().await.ok().flatten()?;
    serde_json::from_str(&line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backend::BackendPlan, keeper::start::Start};
    use crate::{
        backend::{Program, Service, registry},
        config::Settings,
    };

    #[test]
    fn no_secret_is_in_what_debug_shows() {
        let secret = "a secret".to_owned();
        let mut program = Program::new("/bin/server".into());
        program.environment.insert("HF_TOKEN".into(), secret.clone());
        let start = Start {
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
            endpoint: Some(Endpoint { url: "http://127.0.0.1:1".into(), port: 1, token: secret.clone() }),
        };
        let shown = format!("{start:?} {:?}", start.endpoint);
        assert!(shown.contains("/bin/server") && shown.contains("tiny"), "{shown}");
        assert!(!shown.contains(&secret), "{shown}");
    }
}
