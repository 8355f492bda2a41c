//! A session's connection to a keeper: finding one or starting it, hearing from it, closing the lease.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    path::Path,
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::{
    files::{LockFile, PlanFiles, Rouse},
    patience::PATIENCE,
    protocol::{FromKeeper, ToKeeper, receive, send},
    report::Session,
    start::Start,
};
use crate::base::{
    error::{Code, Failure, Result},
    paths::unusable,
    process::{Identity, own_program},
};

/// The command that a keeper is started with; not for people.
pub const VERB: [&str; 2] = ["local", "keep"];

/// A keeper may be on its way out each time we come; this often is no coincidence.
const TRIES: u32 = 20;
/// How long the sessions of a keeper that was lost have to start the next one. They do it at once; a machine may be busy.
const HEIRS: Duration = Duration::from_millis(300);

/// The connection.
pub struct Link {
    lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
    files: PlanFiles,
    /// The keeper, if it was us who started it.
    keeper: Option<Child>,
}

/// How a keeper parts from a session.
#[derive(PartialEq)]
pub enum Farewell {
    /// Others still use the backend, or it lingers.
    Released,
    /// Backend and keeper have ended.
    Stopped,
    /// The keeper has gone without a word.
    Lost,
}

impl Link {
    /// Connects to the plan's keeper, or to one started for it, and hears its first word.
    pub async fn make(start: &Start, scratch: &Path) -> Result<(Self, FromKeeper)> {
        let files = PlanFiles::new(&start.runtime, &start.plan.id());
        let hello = ToKeeper::Hello { scratch: scratch.to_owned(), session: Session::of_self() };
        for again in 0..TRIES {
            let greeted = match UnixStream::connect(files.socket()).await {
                Ok(stream) => Self::over(stream, &files).greet(&hello, true).await,
                Err(_) if again == 0 && start.endpoint.is_none() && files.has_heirs() => {
                    // They know the port and the key, which their Claude Codes go on with; a keeper of ours would have others.
                    sleep(HEIRS).await;
                    None
                }
                Err(_) => Self::start(start, &files, &hello).await?,
            };
            if let Some(greeted) = greeted {
                return Ok(greeted);
            }
        }
        Err(Failure::new(Code::Unavailable, "the backend's keeper ends as soon as it starts")
            .why(format!("{TRIES} tries; its files are {}.*", files.socket().with_extension("").display()))
            .help("ps -ef | grep lclaude shows what still runs"))
    }

    /// What the keeper says next; `None` when it has gone without a word. May be dropped and called again.
    pub async fn event(&mut self) -> Option<FromKeeper> {
        receive(&mut self.lines).await
    }

    /// Has the keeper end `child` should this process die first.
    pub async fn guard(&mut self, child: Identity) {
        // A keeper that is lost is noticed elsewhere.
        let _ = send(&mut self.write, &ToKeeper::Child { process: child }).await;
    }

    /// Closes the lease. `failed`: the keeper has said so, and ends without another word.
    pub async fn close(mut self, failed: bool) -> Farewell {
        let _ = self.write.shutdown().await;
        let mut farewell = if failed { Farewell::Stopped } else { Farewell::Lost };
        // After `Stopping` the connection ends with the keeper, and the keeper after its backend.
        while let Some(word) = self.hear().await {
            match word {
                FromKeeper::Released => return Farewell::Released,
                FromKeeper::Stopping => farewell = Farewell::Stopped,
                _ => {}
            }
        }
        if let Some(mut keeper) = self.keeper {
            // It closes its end a moment before it has ended itself.
            let _ = timeout(PATIENCE, keeper.wait()).await;
        }
        if self.files.has_leftovers() { Farewell::Lost } else { farewell }
    }

    /// Starts a keeper, unless another session did while we waited for the gate.
    async fn start(start: &Start, files: &PlanFiles, hello: &ToKeeper) -> Result<Option<(Self, FromKeeper)>> {
        let failed = |error| unusable(&start.runtime, error);
        let gate = LockFile::open(&files.gate()).map_err(failed)?;
        let gate = tokio::task::spawn_blocking(move || gate.lock().map(|()| gate)).await;
        let _gate = gate.map_err(io::Error::other).and_then(|gate| gate).map_err(failed)?;

        if let Ok(stream) = UnixStream::connect(files.socket()).await {
            return Ok(Self::over(stream, files).greet(hello, true).await);
        }
        let (stream, keeper) = spawn(&start.plan.id()).map_err(|error| {
            Failure::new(Code::Unavailable, "the backend's keeper could not be started")
                .why(error)
                .help("ulimit -u shows how many processes you may have; a reinstalled lclaude has to be started anew")
        })?;
        let mut link = Self::over(stream, files);
        link.keeper = Some(keeper);
        if send(&mut link.write, start).await.is_err() {
            return Ok(None);
        }
        // It may have to wait for its predecessor first, and knows itself how long.
        Ok(link.greet(hello, false).await)
    }

    fn over(stream: UnixStream, files: &PlanFiles) -> Self {
        let (read, write) = stream.into_split();
        Link { lines: BufReader::new(read).lines(), write, files: files.clone(), keeper: None }
    }

    /// Says hello and hears the first word; `None` if the keeper is on its way out. With `hurry`, one that does not
    /// answer is stuck.
    async fn greet(mut self, hello: &ToKeeper, hurry: bool) -> Option<(Self, FromKeeper)> {
        send(&mut self.write, hello).await.ok()?;
        let first = if hurry { self.hear().await } else { self.event().await };
        let first = first.filter(|event| *event != FromKeeper::Stopping)?;
        Some((self, first))
    }

    /// The next word of a keeper that owes us one. If none comes it is woken, since it may have been stopped, and at
    /// last killed, with its backend.
    async fn hear(&mut self) -> Option<FromKeeper> {
        for rouse in [Rouse::Wake, Rouse::Kill] {
            if let Ok(heard) = timeout(self.files.patience(rouse), self.event()).await {
                return heard;
            }
            self.files.rouse(rouse).await;
        }
        None
    }
}

/// Starts a keeper with one end of a socket pair as its standard input. The plan goes through that, never through the
/// arguments, which everybody can read.
fn spawn(id: &str) -> io::Result<(UnixStream, Child)> {
    let (ours, theirs) = StdStream::pair()?;
    let keeper = Command::new(own_program()?)
        .arg0("lclaude")
        .args(VERB)
        .arg(id)
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, keeper))
}
