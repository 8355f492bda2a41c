//! The protocol between sessions and keepers: one JSON object per line, at most 1 MiB, over a unix socket.
//!
//! A keeper first reads its [`StartRequest`](super::start::StartRequest) from the session that started it. Every
//! session, including that one, then sends `hello`, and the open connection becomes its lease. `status`, `glance` and
//! `stop` take no lease and get an [`Answer`]. They may come from another version of lclaude, so unknown messages are ignored and
//! missing fields have defaults.

use std::{os::fd::OwnedFd, path::PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use super::{
    report::{Activity, Glance, Report, SessionInfo},
    warm::request::FirstRequest,
};
use crate::{
    backend::{Endpoint, MissingModel, Progress, Served},
    base::{
        descriptor::DescriptorReader,
        error::Failure,
        process::{Group, Identity},
        socket::{Stream, WriteHalf},
    },
};

/// The longest line, in bytes.
const MAX_LINE: usize = 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ToKeeper {
    /// Takes a lease. The keeper removes `scratch`, the session's private directory, if the session can't.
    Hello {
        scratch: PathBuf,
        /// Shown to the user.
        #[serde(default)]
        session: SessionInfo,
        /// Whether it wants `activity` messages.
        #[serde(default)]
        watches: bool,
    },
    /// The running Claude Code process, to end if its session dies.
    Child { process: Identity },
    /// These processes, the child and its descendants, are stopped until the backend listens again. Continue them if the
    /// session dies.
    Held { processes: Vec<Identity> },
    /// How the first request of the session's conversation starts, sent when Claude Code sends that request.
    Requested(Box<FirstRequest>),
    /// Asks what runs and who uses it.
    Status,
    /// Asks what the server is doing.
    Glance,
    /// Stops the backend and the keeper. Needs `force` while sessions use them.
    Stop {
        #[serde(default)]
        force: bool,
    },
    /// Sent by another version.
    #[serde(other)]
    Unknown,
}

/// The answer to `status`, `glance` or `stop`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Answer {
    Status {
        report: Box<Report>,
    },
    Glance(Box<Glance>),
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
    /// The keeper doesn't have the plan's lock yet. Never sent.
    Queued,
    /// The keeper that the session needs doesn't answer yet, or another one has to end first.
    Waiting {
        /// What is waited for.
        reason: String,
    },
    Starting,
    Progress(Progress),
    Ready(Ready),
    /// What the server is doing, to sessions that watch it. Not a state.
    Activity(Activity),
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
    /// This session gets no lease. The keeper and its other sessions go on.
    Refused {
        failure: Failure,
    },
    /// The backend needs a model that nobody has agreed to download.
    ModelMissing(MissingModel),
    /// The last lease closed; the connection closes when the backend is gone. As the first message: another keeper serves
    /// this plan.
    Stopping,
    /// This lease is closed, and the backend stays up.
    Released,
}

impl FromKeeper {
    /// Returns whether the keeper ends after this state.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self, FromKeeper::Failed { .. } | FromKeeper::ModelMissing(_) | FromKeeper::Stopping)
    }
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

/// The receiving end of a connection, which also keeps the last descriptor that was passed on.
pub(crate) struct Receiver {
    from: BufReader<DescriptorReader>,
    /// What was received of the next line.
    line: Vec<u8>,
}

impl Receiver {
    /// Returns both ends of a connection.
    pub(crate) fn of(stream: Stream) -> (Self, WriteHalf) {
        let (read, write) = stream.into_split();
        (Receiver { from: BufReader::new(DescriptorReader::new(read)), line: Vec::new() }, write)
    }

    /// Returns the next message, or `None` if the connection is closed, or the message is too long or can't be parsed. May
    /// be dropped and called again.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        let room = MAX_LINE.saturating_sub(self.line.len());
        (&mut self.from).take(room as u64).read_until(b'\n', &mut self.line).await.ok()?;
        let line = std::mem::take(&mut self.line);
        // Without its end it was cut off, or it is too long.
        line.ends_with(b"\n").then(|| serde_json::from_slice(&line).ok())?
    }

    /// Returns the last descriptor that came with a message, once.
    pub(crate) fn descriptor(&mut self) -> Option<OwnedFd> {
        self.from.get_mut().take()
    }
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
            places: Vec::new(),
            log: PathBuf::new(),
            state: PathBuf::new(),
            may_pull: false,
            token: Some(secret.clone()),
            endpoint: Some(Endpoint::new("http://127.0.0.1:1".into(), 1, secret.clone())),
            warm: None,
        };
        let shown = format!("{start:?} {:?}", start.endpoint);
        assert!(shown.contains("/bin/server") && shown.contains("tiny"), "{shown}");
        assert!(!shown.contains(&secret), "{shown}");
    }
}
