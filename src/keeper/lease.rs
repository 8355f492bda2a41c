//! The session's side of a lease: finding or starting the keeper, hearing from it, letting go of it.

use std::{
    collections::VecDeque,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::{Child, Command},
    time::timeout,
};

use super::{
    GO_ON, PATIENCE,
    files::{LockFile, PlanFiles, Rouse},
    port::{self, Reserved},
    protocol::{FromKeeper, Ready, Start, ToKeeper, receive, send},
    report::Session,
    sweep,
};
use crate::{
    backend::{self, Kind, Service},
    cli::KEEPER_VERB,
    error::{Code, Failure, Result},
    paths::unusable,
    process::{Ending, Identity, own_program},
};

/// A keeper may be on its way out each time we come; this often is no coincidence.
const TRIES: u32 = 20;
/// Keepers that may be lost without having had their backend up.
const LOSSES: u32 = 3;

/// A session's hold on its backend. Should the keeper be lost, the lease is renewed with its successor, which comes up on
/// the same port with the same key: a running Claude Code goes on.
pub struct Lease {
    start: Start,
    scratch: PathBuf,
    child: Option<Identity>,
    hold: Hold,
    /// Events known already.
    known: VecDeque<FromKeeper>,
    ready: Option<Ready>,
    losses: u32,
    /// The keeper said that the backend is down for good, and ends.
    failed: bool,
    reserved: Option<Reserved>,
}

enum Hold {
    Keeper(Box<Link>),
    /// The keeper has gone without a word.
    Lost,
    /// A server that somebody else runs: nothing is held, and nothing happens to it that we would hear of.
    Nothing,
}

/// The connection to a keeper.
struct Link {
    lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
    files: PlanFiles,
    /// The keeper, if it was us who started it.
    keeper: Option<Child>,
}

impl Lease {
    /// Takes a lease on the plan's keeper, starting one if there is none.
    ///
    /// `scratch` is the session's private directory, for the keeper to remove if the session cannot.
    pub async fn take(start: Start, scratch: &Path) -> Result<Self> {
        let (hold, first) = match (start.plan.kind, &start.endpoint) {
            (Kind::Endpoint, Some(endpoint)) => {
                // No keeper will do it.
                sweep::sessions(&start.runtime);
                let served = backend::visit(&start.plan, endpoint).await?;
                let ready = Ready { endpoint: endpoint.clone(), served, group: None };
                (Hold::Nothing, FromKeeper::Ready(ready))
            }
            _ => {
                let (link, first) = Link::make(&start, scratch).await?;
                (Hold::Keeper(link.into()), first)
            }
        };
        let known = VecDeque::from([first]);
        Ok(Lease {
            start,
            scratch: scratch.to_owned(),
            child: None,
            hold,
            known,
            ready: None,
            losses: 0,
            failed: false,
            reserved: None,
        })
    }

    /// Gives up before there is a lease: wakes a keeper that was stopped, so that it finds that nobody wants it.
    pub async fn give_up(start: &Start) {
        PlanFiles::new(&start.runtime, &start.plan.id()).rouse(Rouse::Wake).await;
    }

    /// What happens next. May be dropped and called again.
    pub async fn event(&mut self) -> FromKeeper {
        loop {
            let event = match (self.known.pop_front(), &mut self.hold) {
                (Some(event), _) => event,
                (None, Hold::Keeper(link)) => match receive(&mut link.lines).await {
                    None | Some(FromKeeper::Stopping) => {
                        self.hold = Hold::Lost;
                        continue;
                    }
                    Some(event) => event,
                },
                (None, Hold::Lost) => match self.renew().await {
                    Ok(()) => continue,
                    Err(failure) => return FromKeeper::Failed { failure },
                },
                (None, Hold::Nothing) => std::future::pending().await,
            };
            self.failed |= matches!(event, FromKeeper::Failed { .. });
            if let FromKeeper::Ready(ready) = &event {
                if self.ready.as_ref().is_some_and(|before| before.endpoint != ready.endpoint) {
                    return FromKeeper::Failed { failure: moved() };
                }
                self.reserve(ready.endpoint.port);
                self.start = self.start.at(ready.endpoint.clone());
                self.ready = Some(ready.clone());
                self.losses = 0;
            }
            return event;
        }
    }

    /// Holds the port beside the keeper, so that nobody takes it if that is killed.
    fn reserve(&mut self, port: u16) {
        if let Service::Program(program) = &self.start.plan.service
            && program.shares_port
            && self.reserved.is_none()
            // Elsewhere a socket that is bound and never listens may be handed the connections of one that does.
            && cfg!(target_os = "linux")
        {
            self.reserved = port::reserve(Some(port)).ok();
        }
    }

    async fn renew(&mut self) -> Result<()> {
        tracing::warn!(pid = std::process::id(), losses = self.losses, "keeper lost");
        if self.losses >= LOSSES {
            return Err(Failure::new(Code::Unavailable, "the backend's keeper was lost")
                .why(format!("{LOSSES} keepers, one after the other, ended without a word"))
                .help(format!("tail {}", self.start.log.display())));
        }
        let (mut link, first) = Link::make(&self.start, &self.scratch).await?;
        self.losses += 1;
        if let Some(child) = self.child {
            link.guard(child).await;
        }
        self.hold = Hold::Keeper(link.into());
        self.known.push_back(first);
        Ok(())
    }

    /// Has the keeper end `child` should this process die first.
    pub async fn guard(&mut self, child: Identity) {
        self.child = Some(child);
        if let Hold::Keeper(link) = &mut self.hold {
            link.guard(child).await;
        }
    }

    /// Lets go, and returns when nothing is left that only we were using.
    pub async fn release(self) {
        let farewell = match self.hold {
            Hold::Keeper(link) => link.close(self.failed).await,
            Hold::Lost => Farewell::Lost,
            Hold::Nothing => return,
        };
        if farewell == Farewell::Released {
            return;
        }
        // What a keeper that was killed has left: its processes, and what only another keeper can undo.
        if let Some(group) = self.ready.and_then(|ready| ready.group) {
            group.end(Ending::Kill).await;
        }
        if farewell == Farewell::Lost
            && let Ok((link, _)) = Link::make(&self.start, &self.scratch).await
        {
            link.close(false).await;
        }
    }
}

/// The failure for a backend that came back elsewhere, while this session was suspended, say.
fn moved() -> Failure {
    Failure::new(Code::Unavailable, "the backend came back on another port")
        .why("its keeper was lost, and another session had it started anew")
        .help(GO_ON)
}

#[derive(PartialEq)]
enum Farewell {
    /// Others still use the backend, or it lingers.
    Released,
    /// Backend and keeper have ended.
    Stopped,
    /// The keeper has gone without a word.
    Lost,
}

impl Link {
    /// Connects to the plan's keeper, or to one started for it, and hears its first word.
    async fn make(start: &Start, scratch: &Path) -> Result<(Self, FromKeeper)> {
        let files = PlanFiles::new(&start.runtime, &start.plan.id());
        let hello = ToKeeper::Hello { scratch: scratch.to_owned(), session: Session::of_self() };
        for _ in 0..TRIES {
            let greeted = match UnixStream::connect(files.socket()).await {
                Ok(stream) => Self::over(stream, &files).greet(&hello, true).await,
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

    async fn guard(&mut self, child: Identity) {
        // A keeper that is lost is noticed elsewhere.
        let _ = send(&mut self.write, &ToKeeper::Child { process: child }).await;
    }

    /// `failed`: the keeper has said so, and ends without another word.
    async fn close(mut self, failed: bool) -> Farewell {
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
        let first = if hurry { self.hear().await } else { receive(&mut self.lines).await };
        let first = first.filter(|event| *event != FromKeeper::Stopping)?;
        Some((self, first))
    }

    /// The next word of a keeper that owes us one. If none comes it is woken, since it may have been stopped, and at
    /// last killed, with its backend.
    async fn hear(&mut self) -> Option<FromKeeper> {
        for rouse in [Rouse::Wake, Rouse::Kill] {
            if let Ok(heard) = timeout(self.files.patience(rouse), receive(&mut self.lines)).await {
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
        .args(KEEPER_VERB)
        .arg(id)
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, keeper))
}
