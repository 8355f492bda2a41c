//! A session's connection to a keeper: finding or starting the keeper, receiving events, closing the lease.

use std::{
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream as StdStream,
    },
    path::Path,
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{UnixStream, unix::OwnedWriteHalf},
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::{
    files::{Escalation, LockFile, PlanFiles},
    protocol::{FromKeeper, ToKeeper, receive, send},
    report::SessionInfo,
    start::StartRequest,
    timeouts::REPLY_TIMEOUT,
};
use crate::base::{
    descriptor::{self, DescriptorReader},
    error::{Code, Failure, Result},
    paths::runtime_unusable,
    process::{Identity, own_program},
};

/// The hidden subcommand that runs a keeper.
pub(crate) const SUBCOMMAND: [&str; 2] = ["local", "keep"];

/// Attempts to reach a keeper. A few may meet one that is exiting, but not this many.
const MAX_ATTEMPTS: u32 = 20;
/// How long to wait for the sessions of a lost keeper to start its replacement, which takes longer on a busy machine.
const REPLACEMENT_DELAY: Duration = Duration::from_millis(300);

/// An open connection to a keeper.
pub(crate) struct Link {
    lines: Lines<BufReader<DescriptorReader>>,
    write: OwnedWriteHalf,
    files: PlanFiles,
    /// The keeper process, if this session started it.
    keeper: Option<Child>,
}

/// What happened to the keeper when a lease closed.
#[derive(PartialEq)]
pub(crate) enum CloseOutcome {
    /// It runs on, for other sessions or because it lingers.
    Released,
    /// It and its backend are gone.
    Stopped,
    /// It was lost, or left something to clean up.
    Lost,
}

impl Link {
    /// Connects to the plan's keeper, starting one if necessary, and returns its first event too. `port`: the port that a
    /// lost keeper held, for a new one.
    pub(crate) async fn connect(
        start: &StartRequest,
        scratch: &Path,
        port: Option<&OwnedFd>,
    ) -> Result<(Self, FromKeeper)> {
        let files = PlanFiles::new(&start.runtime, &start.plan.id());
        let hello = ToKeeper::Hello { scratch: scratch.to_owned(), session: SessionInfo::of_self() };
        for attempt in 0..MAX_ATTEMPTS {
            let connected = match UnixStream::connect(files.socket()).await {
                Ok(stream) => Self::new(stream, &files).say_hello(&hello, true).await,
                Err(_) if attempt == 0 && start.endpoint.is_none() && files.has_waiting_sessions() => {
                    // Only they know the port and key that their Claude Code processes use.
                    sleep(REPLACEMENT_DELAY).await;
                    None
                }
                Err(_) => Self::start(start, &files, &hello, port).await?,
            };
            if let Some(connected) = connected {
                return Ok(connected);
            }
        }
        Err(Failure::new(Code::Unavailable, "the backend's keeper exits as soon as it starts")
            .cause(format!(
                "{MAX_ATTEMPTS} attempts failed; its files are {}.*",
                files.socket().with_extension("").display()
            ))
            .help("ps -ef | grep lclaude"))
    }

    /// Returns the keeper's next event, or `None` if the keeper is gone. May be dropped and called again.
    pub(crate) async fn event(&mut self) -> Option<FromKeeper> {
        receive(&mut self.lines).await
    }

    /// Asks the keeper to end `child` if this process dies first.
    pub(crate) async fn guard(&mut self, child: Identity) {
        // `event` notices a lost keeper.
        let _ = send(&mut self.write, &ToKeeper::Child { process: child }).await;
    }

    /// Returns the port that came with the last `ready`, to hold it if the keeper is killed.
    pub(crate) fn port(&mut self) -> Option<OwnedFd> {
        self.lines.get_mut().get_mut().take()
    }

    /// Tells the keeper which processes are stopped until the backend listens again.
    pub(crate) async fn held(&mut self, processes: &[Identity]) {
        let _ = send(&mut self.write, &ToKeeper::Held { processes: processes.to_vec() }).await;
    }

    /// Closes the lease. `failed`: the keeper has reported a failure, so it exits without sending `Stopping`.
    pub(crate) async fn close(mut self, failed: bool) -> CloseOutcome {
        let _ = self.write.shutdown().await;
        let mut outcome = if failed { CloseOutcome::Stopped } else { CloseOutcome::Lost };
        // After `Stopping` the keeper outlives its backend and closes the connection when it exits.
        while let Some(event) = self.next_event().await {
            match event {
                FromKeeper::Released => return CloseOutcome::Released,
                FromKeeper::Stopping => outcome = CloseOutcome::Stopped,
                _ => {}
            }
        }
        if let Some(mut keeper) = self.keeper {
            // It closes the connection shortly before it has exited.
            let _ = timeout(REPLY_TIMEOUT, keeper.wait()).await;
        }
        if self.files.has_leftovers() { CloseOutcome::Lost } else { outcome }
    }

    /// Starts a keeper, unless another session did so while this one waited for the gate.
    async fn start(
        start: &StartRequest,
        files: &PlanFiles,
        hello: &ToKeeper,
        port: Option<&OwnedFd>,
    ) -> Result<Option<(Self, FromKeeper)>> {
        let failed = |error| runtime_unusable(&start.runtime, error);
        let gate = LockFile::open(&files.gate()).map_err(failed)?;
        let gate = tokio::task::spawn_blocking(move || gate.lock().map(|()| gate)).await;
        let _gate = gate.map_err(io::Error::other).and_then(|gate| gate).map_err(failed)?;

        if let Ok(stream) = UnixStream::connect(files.socket()).await {
            return Ok(Self::new(stream, files).say_hello(hello, true).await);
        }
        let (stream, keeper) = spawn(&start.plan.id(), port).map_err(|error| {
            Failure::new(Code::Unavailable, "the backend's keeper could not be started")
                .cause(error)
                .help("if you have just reinstalled lclaude, run the same command again")
        })?;
        let mut link = Self::new(stream, files);
        link.keeper = Some(keeper);
        if send(&mut link.write, start).await.is_err() {
            return Ok(None);
        }
        // No timeout: it may have to wait for its predecessor, and limits that wait itself.
        Ok(link.say_hello(hello, false).await)
    }

    fn new(stream: UnixStream, files: &PlanFiles) -> Self {
        let (read, write) = stream.into_split();
        let read = BufReader::new(DescriptorReader::new(read));
        Link { lines: read.lines(), write, files: files.clone(), keeper: None }
    }

    /// Sends `hello` and returns the first event, or `None` if the keeper is exiting. With `escalate`, a keeper that
    /// doesn't answer is woken and then killed.
    async fn say_hello(mut self, hello: &ToKeeper, escalate: bool) -> Option<(Self, FromKeeper)> {
        send(&mut self.write, hello).await.ok()?;
        let first = if escalate { self.next_event().await } else { self.event().await };
        let first = first.filter(|event| *event != FromKeeper::Stopping)?;
        Some((self, first))
    }

    /// Returns the next event, which is due now. If none comes, wakes the keeper, since it may be suspended, and then
    /// kills it and its backend.
    async fn next_event(&mut self) -> Option<FromKeeper> {
        for step in [Escalation::Wake, Escalation::Kill] {
            if let Ok(event) = timeout(self.files.timeout_before(step), self.event()).await {
                return event;
            }
            self.files.escalate(step).await;
        }
        None
    }
}

/// Starts a keeper with one end of a socket pair as its standard input. The plan is sent through the socket, since
/// other users can read command-line arguments. `port` comes with the first byte.
fn spawn(id: &str, port: Option<&OwnedFd>) -> io::Result<(UnixStream, Child)> {
    let (ours, theirs) = StdStream::pair()?;
    let keeper = Command::new(own_program()?)
        .arg0("lclaude")
        .args(SUBCOMMAND)
        .arg(id)
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    match port {
        Some(port) => descriptor::send(&ours, b"\n", port.as_fd())?,
        None => (&ours).write(b"\n")?,
    };
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, keeper))
}
