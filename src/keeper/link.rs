//! A session's connection to a keeper: finding or starting the keeper, receiving events, closing the lease.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    process::Stdio,
    time::Duration,
};

use serde::Serialize;
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
    time::{Instant, timeout, timeout_at},
};

use super::{
    files::PlanFiles,
    protocol::{FromKeeper, Receiver, ToKeeper, encode},
    record::Record,
    silent,
    start::StartRequest,
    timeouts::REPLY_TIMEOUT,
};
use crate::base::{
    descriptor,
    error::{Code, Failure, RETRY_HELP, Result},
    failpoint,
    process::{Identity, own_program, resume, suspended_tree},
    socket::{self, Stream, WriteHalf},
    wait::WORD_AFTER,
};

/// The hidden subcommand that runs a keeper.
pub(crate) const SUBCOMMAND: [&str; 2] = ["local", "keep"];

/// How long a session waits for a keeper or backend that is asked to end. They go on without it.
const GENTLE_END: Duration = Duration::from_millis(500);

/// An open connection to a keeper.
pub(crate) struct Link {
    receiver: Receiver,
    write: WriteHalf,
    /// Messages for which the connection had no room yet.
    unsent: Vec<u8>,
    files: PlanFiles,
    /// The guard of the keeper, if this session started it.
    guard: Option<Child>,
    /// What to do next about a keeper that has not answered yet, and when.
    unanswered: Option<(Step, Instant)>,
}

/// What to do about a keeper that doesn't answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    /// And tell the user.
    Wake,
    GiveUp,
}

/// What happened to the keeper when a lease closed.
#[derive(PartialEq)]
pub(crate) enum CloseOutcome {
    /// It runs on: for other sessions, because it lingers, or until its backend has ended.
    Released,
    /// It and its backend are gone.
    Stopped,
    /// It was lost, or left something to clean up.
    Lost,
}

impl Link {
    /// Connects to the plan's keeper, starting one if none accepts sessions. `port`: the port that a lost keeper held.
    pub(crate) async fn open(
        start: &StartRequest,
        files: &PlanFiles,
        hello: &ToKeeper,
        port: Option<&OwnedFd>,
    ) -> Result<Self> {
        let mut link = match socket::connect(&files.socket()).await {
            Ok(stream) => Self::new(stream, files, None),
            Err(_) => Self::start(start, files)?,
        };
        failpoint::reach("session-connected");
        link.post_with(hello, port);
        failpoint::reach("session-greeted");
        Ok(link)
    }

    fn new(stream: Stream, files: &PlanFiles, guard: Option<Child>) -> Self {
        let (receiver, write) = Receiver::of(stream);
        let unanswered = Some((Step::Wake, Instant::now() + WORD_AFTER));
        Link { receiver, write, unsent: Vec::new(), files: files.clone(), guard, unanswered }
    }

    /// Starts a keeper. It finds out by itself whether there is another one.
    fn start(start: &StartRequest, files: &PlanFiles) -> Result<Self> {
        let spawned = spawn(&start.plan.id()).map_err(|error| {
            Failure::new(Code::Unavailable, "the backend's keeper could not be started")
                .cause(error)
                .help(format!("{RETRY_HELP} if you have just reinstalled lclaude"))
        });
        let (stream, guard) = spawned?;
        failpoint::reach("keeper-spawned");
        let mut link = Self::new(stream, files, Some(guard));
        link.post(start);
        Ok(link)
    }

    /// Sends a message, at the latest when [`Link::event`] is called.
    pub(crate) fn post(&mut self, message: &impl Serialize) {
        self.post_with(message, None);
    }

    fn post_with(&mut self, message: &impl Serialize, port: Option<&OwnedFd>) {
        let message = encode(message);
        let connection = self.write.as_ref().as_fd();
        let sent = match port {
            // Messages stay in order.
            _ if !self.unsent.is_empty() => 0,
            // If there is no room now, the keeper gets the port from another session.
            Some(port) => descriptor::send(connection, &message, port.as_fd()).unwrap_or(0),
            None => socket::send_now(connection, &message),
        };
        self.unsent.extend_from_slice(&message[sent..]);
    }

    /// Returns the keeper's next event, or `None` if the keeper is gone. May be dropped and called again.
    pub(crate) async fn event(&mut self) -> Option<FromKeeper> {
        while !self.unsent.is_empty() {
            let sent = self.write.write(&self.unsent).await.ok()?;
            self.unsent.drain(..sent);
        }
        if let Some((step, at)) = self.unanswered {
            if let Ok(event) = timeout_at(at, self.receiver.next()).await {
                self.unanswered = None;
                return event;
            }
            match step {
                Step::Wake => {
                    self.wake();
                    self.unanswered = Some((Step::GiveUp, Instant::now() + silent::patience(&self.files)));
                    return Some(FromKeeper::Waiting { reason: format!("waiting for {}", silent::name(&self.files)) });
                }
                Step::GiveUp => return self.give_up().await,
            }
        }
        self.receiver.next().await
    }

    /// Returns the port that came with the last `ready`, to hold it if the keeper is killed.
    pub(crate) fn port(&mut self) -> Option<OwnedFd> {
        self.receiver.descriptor()
    }

    /// Returns whether the keeper has ever answered.
    pub(crate) fn was_answered(&self) -> bool {
        self.unanswered.is_none()
    }

    /// Waits until a keeper that this session started, and that leaves, is gone.
    pub(crate) async fn dismiss(&mut self) {
        if let Some(guard) = &mut self.guard {
            let _ = self.write.shutdown().await;
            let _ = timeout(GENTLE_END, guard.wait()).await;
        }
    }

    /// Closes the lease. `failed`: the keeper has reported a failure, so it exits without sending `Stopping`. `gently`: the
    /// backend may take its time to end, for which the session doesn't wait.
    pub(crate) async fn close(mut self, failed: bool, gently: bool) -> CloseOutcome {
        if matches!(self.unanswered, Some((Step::GiveUp, _))) {
            return CloseOutcome::Released;
        }
        let guard = self.keepers_guard();
        let _ = self.write.shutdown().await;
        failpoint::reach("session-closed");
        let mut outcome = if failed { CloseOutcome::Stopped } else { CloseOutcome::Lost };
        // After `Stopping` the keeper outlives its backend and closes the connection when it exits.
        loop {
            let next = self.receiver.next();
            let answer = if gently && outcome == CloseOutcome::Stopped {
                let Ok(answer) = timeout(GENTLE_END, next).await else { return CloseOutcome::Released };
                Some(answer)
            } else {
                silent::wait_for(&self.files, next).await
            };
            match answer {
                Some(Some(FromKeeper::Released)) => return CloseOutcome::Released,
                Some(Some(FromKeeper::Stopping)) => outcome = CloseOutcome::Stopped,
                Some(Some(_)) => {}
                Some(None) => break,
                None if silent::kill_if_unused(&self.files).await => return CloseOutcome::Lost,
                // It notices that the connection is closed when it can.
                None => return CloseOutcome::Released,
            }
        }
        // The keeper closes the connection shortly before it has exited, and then its guard does.
        if let Some(mut guard) = self.guard {
            let _ = timeout(REPLY_TIMEOUT, guard.wait()).await;
        } else if let Some(guard) = guard {
            guard.ends_within(REPLY_TIMEOUT).await;
        }
        if Record::is_left(&self.files) { CloseOutcome::Lost } else { outcome }
    }

    /// Returns the guard of this connection's keeper.
    fn keepers_guard(&self) -> Option<Identity> {
        let keeper = self.write.as_ref().peer_cred().ok()?.pid()?;
        Record::read(&self.files).filter(|record| record.keeper.pid == keeper)?.guard
    }

    fn wake(&self) {
        match self.guard.as_ref().and_then(Child::id).and_then(Identity::of) {
            // The keeper is its child.
            Some(guard) => resume(&suspended_tree(guard)),
            None => silent::wake(&self.files),
        }
    }

    /// Ends a keeper that doesn't answer, unless others use it. Returns `None` if another one can be started.
    async fn give_up(&mut self) -> Option<FromKeeper> {
        if self.guard.is_some() {
            // If it has the lock already, it ends when it finds the connection closed.
            return None;
        }
        if silent::kill_if_unused(&self.files).await {
            return None;
        }
        Some(FromKeeper::Failed { failure: silent::failure(&self.files) })
    }
}

/// Starts a keeper with one end of a socket pair as its standard input. The plan is sent through the socket, since
/// other users can read command-line arguments.
fn spawn(id: &str) -> io::Result<(Stream, Child)> {
    let (ours, theirs) = socket::pair()?;
    let keeper = Command::new(own_program()?)
        .arg0("lclaude")
        .args(SUBCOMMAND)
        .arg(id)
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok((ours, keeper))
}
