//! The keeper's side of its connections: a lease is one that said `hello`, open for as long as its session lives. One
//! that only asks, or has not said anything yet, holds nothing up.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use rustix::process::Signal;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, BufReader, Lines},
    net::UnixStream,
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    patience::{AGAIN, PATIENCE},
    protocol::{Answer, FromKeeper, ToKeeper, receive, send},
    report::{About, Report, Session, State},
};
use crate::base::{
    error::{Code, Failure},
    process::Identity,
    scratch,
};

/// How long Claude Code has to leave in peace after its session died.
const CHILD_GRACE: Duration = Duration::from_millis(500);

#[derive(Clone)]
pub struct Leases {
    shared: Rc<Shared>,
}

/// What the keeper's own end has to do with leases.
pub struct Terms {
    pub about: About,
    pub runtime: PathBuf,
    pub linger: Duration,
    /// How often the backend was started again.
    pub restarted: Rc<Cell<u32>>,
}

struct Shared {
    terms: Terms,
    state: watch::Receiver<FromKeeper>,
    since: Instant,
    /// Who holds on.
    open: watch::Sender<Vec<Rc<Holding>>>,
    /// When nobody began to.
    idle_since: Cell<Instant>,
    /// Set once, when somebody wants the keeper to end.
    stop: watch::Sender<bool>,
}

struct Holding {
    /// `None` until it has said hello.
    session: Option<Session>,
    since: Instant,
}

impl Leases {
    pub fn new(state: watch::Receiver<FromKeeper>, terms: Terms) -> Self {
        let now = Instant::now();
        let (open, _) = watch::channel(Vec::new());
        let (stop, _) = watch::channel(false);
        Leases { shared: Rc::new(Shared { terms, state, since: now, open, idle_since: Cell::new(now), stop }) }
    }

    /// The connection of the session that started this keeper: a lease even before it says so.
    pub fn take_first(&self, stream: BufReader<UnixStream>) {
        let lease = Open::new(self.shared.clone(), None);
        tokio::task::spawn_local(serve(stream, self.shared.clone(), Some(lease)));
    }

    /// A connection that has yet to say what it wants.
    pub fn take(&self, stream: BufReader<UnixStream>) {
        tokio::task::spawn_local(serve(stream, self.shared.clone(), None));
    }

    /// Whether anybody holds on.
    pub fn are_open(&self) -> bool {
        !self.shared.open.borrow().is_empty()
    }

    /// Returns once no lease has been open for as long as `linger`.
    pub async fn all_closed(&self, linger: Duration) {
        let mut open = self.shared.open.subscribe();
        loop {
            // The sender is our own, so neither wait can fail.
            let _ = open.wait_for(Vec::is_empty).await;
            if timeout(linger, open.wait_for(|open| !open.is_empty())).await.is_err() {
                return;
            }
        }
    }

    /// Returns once somebody has asked for the end, with what those who hold a lease are told.
    pub async fn stopped(&self) -> Option<Failure> {
        let _ = self.shared.stop.subscribe().wait_for(|stop| *stop).await;
        let held = !self.shared.open.borrow().is_empty();
        let failure = Failure::new(Code::Unavailable, "`lclaude local stop` ended the backend")
            .why("somebody ran it while this session was using the backend")
            .help(AGAIN);
        held.then_some(failure)
    }
}

impl Shared {
    fn is_stopping(&self) -> bool {
        *self.state.borrow() == FromKeeper::Stopping
    }

    fn sessions(&self) -> Vec<Session> {
        let told = |holding: &Rc<Holding>| {
            let session = holding.session.clone()?;
            Some(Session { held_for: holding.since.elapsed().as_secs(), ..session })
        };
        self.open.borrow().iter().filter_map(told).collect()
    }

    fn report(&self) -> Report {
        let now = self.state.borrow().clone();
        let ready = match &now {
            FromKeeper::Ready(ready) => Some(ready.clone()),
            _ => None,
        };
        let state = match now {
            FromKeeper::Starting => State::Starting,
            FromKeeper::Progress(progress) => State::Progress(progress),
            FromKeeper::Ready(_) if self.open.borrow().is_empty() => {
                State::Lingering { left: self.terms.linger.saturating_sub(self.idle_since.get().elapsed()).as_secs() }
            }
            FromKeeper::Ready(_) => State::Ready,
            FromKeeper::Restarting { reason } => State::Restarting { reason },
            FromKeeper::Failed { failure } => State::Failed { failure },
            FromKeeper::Stopping | FromKeeper::Released => State::Stopping,
        };
        Report {
            about: self.terms.about.clone(),
            state,
            served: ready.as_ref().map(|ready| ready.served.clone()),
            group: ready.as_ref().and_then(|ready| ready.group),
            endpoint: ready.map(|ready| ready.endpoint),
            sessions: self.sessions(),
            restarts: self.terms.restarted.get(),
            up_for: Some(self.since.elapsed().as_secs()),
        }
    }
}

/// One lease, while it lives.
struct Open {
    shared: Rc<Shared>,
    holding: Rc<Holding>,
}

impl Open {
    fn new(shared: Rc<Shared>, session: Option<Session>) -> Self {
        let holding = Rc::new(Holding { session, since: Instant::now() });
        shared.open.send_modify(|open| open.push(holding.clone()));
        Open { shared, holding }
    }

    /// Closes it, and waits until it is known whether it was the last.
    async fn close(self) -> FromKeeper {
        let shared = self.shared.clone();
        drop(self);
        let mut open = shared.open.subscribe();
        let mut state = shared.state.clone();
        let others = async {
            if shared.terms.linger.is_zero() {
                let _ = open.wait_for(|open| !open.is_empty()).await;
            }
        };
        tokio::select! {
            biased;
            _ = state.wait_for(|state| matches!(state, FromKeeper::Stopping)) => FromKeeper::Stopping,
            () = others => FromKeeper::Released,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.idle_since.set(Instant::now());
        self.shared.open.send_modify(|open| open.retain(|other| !Rc::ptr_eq(other, &self.holding)));
    }
}

/// One connection. `first`: the lease that it has already.
async fn serve(stream: BufReader<UnixStream>, shared: Rc<Shared>, first: Option<Open>) {
    // Nothing is in the buffer yet but what the other end sent, so it goes on being read.
    let (read, mut write) = tokio::io::split(stream);
    let mut lines = BufReader::new(read).lines();
    match timeout(PATIENCE, receive(&mut lines)).await {
        // It goes to another keeper, with its private directory.
        Ok(Some(ToKeeper::Hello { .. })) if shared.is_stopping() => {
            let _ = send(&mut write, &FromKeeper::Stopping).await;
        }
        Ok(Some(ToKeeper::Hello { scratch, session })) => {
            let lease = Open::new(shared, Some(session));
            drop(first);
            hold_on(&mut lines, &mut write, &scratch, lease).await;
        }
        Ok(Some(ToKeeper::Status)) => {
            let _ = send(&mut write, &Answer::Status { report: shared.report().into() }).await;
        }
        Ok(Some(ToKeeper::Stop { force })) => {
            if !force && !shared.open.borrow().is_empty() {
                let _ = send(&mut write, &Answer::InUse { sessions: shared.sessions() }).await;
                return;
            }
            shared.stop.send_replace(true);
            let _ = send(&mut write, &Answer::Stopping { sessions: shared.sessions() }).await;
            // The end of this connection is to be the end of this process.
            std::future::pending::<()>().await;
        }
        _ => {}
    }
}

/// One session, from its `hello` to its end, however that comes.
async fn hold_on(
    lines: &mut Lines<impl AsyncBufRead + Unpin>,
    write: &mut (impl AsyncWrite + Unpin),
    scratch: &Path,
    lease: Open,
) {
    let mut child = None;
    tokio::select! {
        () = listen(lines, &mut child) => {}
        () = tell(write, lease.shared.state.clone()) => {}
    }
    // Otherwise it was told to leave, and goes on with another keeper.
    if !lease.shared.is_stopping() {
        if let Some(child) = child {
            end_child(child).await;
        }
        remove_scratch(scratch, &lease.shared.terms.runtime);
    }
    let farewell = lease.close().await;
    let _ = send(write, &farewell).await;
    if farewell == FromKeeper::Stopping {
        // The session waits for the end of the connection, which is to be the end of this process.
        std::future::pending::<()>().await;
    }
}

/// Until the session closes its end, or is no more.
async fn listen(lines: &mut Lines<impl AsyncBufRead + Unpin>, child: &mut Option<Identity>) {
    while let Some(message) = receive(lines).await {
        if let ToKeeper::Child { process } = message {
            *child = Some(process);
        }
    }
}

/// Passes every change of state on; ends only when the session takes no more.
async fn tell(write: &mut (impl AsyncWrite + Unpin), mut state: watch::Receiver<FromKeeper>) {
    loop {
        let now = state.borrow_and_update().clone();
        if send(write, &now).await.is_err() || state.changed().await.is_err() {
            return;
        }
    }
}

/// Ends a Claude Code whose session died and could not. One that was suspended has to wake to hear of it.
async fn end_child(child: Identity) {
    child.signal(Signal::HUP);
    child.signal(Signal::CONT);
    let deadline = Instant::now() + CHILD_GRACE;
    while child.is_alive() && Instant::now() < deadline {
        sleep(Duration::from_millis(5)).await;
    }
    child.signal(Signal::KILL);
}

/// Only ever a session's directory right inside our own.
fn remove_scratch(scratch: &Path, runtime: &Path) {
    if scratch.parent() == Some(runtime) && scratch::owner(scratch).is_some() {
        scratch::remove(scratch);
    }
}
