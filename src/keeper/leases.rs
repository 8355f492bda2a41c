//! The keeper's side of its connections. A connection that sent `hello` is a lease for as long as it is open; one that
//! only sends a request, or nothing yet, keeps nothing running.

use std::{
    cell::{Cell, RefCell},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    net::{UnixStream, unix::OwnedWriteHalf},
    sync::{Notify, watch},
    time::{Instant, timeout},
};

use super::{
    dead_session::{Removals, claim, end_child, is_closed},
    guard::Guard,
    panic,
    protocol::{Answer, FromKeeper, Receiver, ToKeeper, encode, send},
    refuse::refusal,
    report::{KeeperInfo, Report, SessionInfo, State},
    timeouts::{REPLY_TIMEOUT, RETRY_HELP},
};
use crate::{
    backend::MissingModel,
    base::{
        descriptor,
        error::{Code, Failure},
        process::{Hold, Identity, is_suspended},
    },
};

/// How long it may take to tell all sessions that the keeper ends.
const TELL_TIMEOUT: Duration = Duration::from_millis(200);
/// How long a session may take to stop its child before the keeper does it.
const HOLD_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the keeper checks until then whether all sessions are suspended, and so can't stop their children.
const HOLD_CHECK: Duration = Duration::from_millis(50);

#[derive(Clone)]
pub(crate) struct Leases {
    shared: Rc<Shared>,
}

/// What leases need to know about their keeper.
#[derive(Clone)]
pub(crate) struct KeeperContext {
    pub about: KeeperInfo,
    pub runtime: PathBuf,
    pub linger: Duration,
    /// Restarts of the backend.
    pub restarted: Rc<Cell<u32>>,
    /// The held port that is lent to the backend, which each session holds too.
    pub port: Rc<RefCell<Option<OwnedFd>>>,
    pub guard: Rc<Guard>,
}

struct Shared {
    context: KeeperContext,
    state: watch::Receiver<FromKeeper>,
    since: Instant,
    open: watch::Sender<Vec<Rc<LeaseInfo>>>,
    /// When the last lease closed.
    idle_since: Cell<Instant>,
    /// Set when a client asks the keeper to stop.
    stop: watch::Sender<bool>,
    /// Notified for each `held`.
    held: Notify,
    /// The port that a lost keeper held, as its sessions pass it on.
    port: RefCell<Option<OwnedFd>>,
    /// Notified for each of these.
    port_received: Notify,
    /// Notified when a session was sent the keeper's last state.
    told: Notify,
    removals: Removals,
}

struct LeaseInfo {
    /// `None` until the session sends `hello`.
    session: Option<SessionInfo>,
    since: Instant,
    /// The session's Claude Code.
    child: Cell<Option<Identity>>,
    /// The restart for which the session stopped its child and descendants, and these processes.
    held: RefCell<Option<(u32, Vec<Identity>)>>,
    /// What the keeper stopped itself, because the session didn't.
    own_hold: RefCell<Hold>,
    /// Whether the session was sent the keeper's last state.
    is_told: Cell<bool>,
}

impl LeaseInfo {
    /// Returns whether the session may still have a child that sends prompts in this restart. It may have started one and
    /// not reported it yet.
    fn is_unheld(&self, restart: u32) -> bool {
        let is_held = self.held.borrow().as_ref().is_some_and(|(held, _)| *held == restart);
        self.session.is_some() && !is_held && self.child.get().is_none_or(Identity::is_alive)
    }
}

impl Leases {
    pub(crate) fn new(state: watch::Receiver<FromKeeper>, context: KeeperContext) -> Self {
        let now = Instant::now();
        let (open, _) = watch::channel(Vec::new());
        let (stop, _) = watch::channel(false);
        let shared = Shared {
            context,
            state,
            since: now,
            open,
            idle_since: Cell::new(now),
            stop,
            held: Notify::new(),
            port: RefCell::default(),
            port_received: Notify::new(),
            told: Notify::new(),
            removals: Removals::default(),
        };
        Leases { shared: Rc::new(shared) }
    }

    /// Serves the session that started this keeper, which holds a lease even before its `hello`.
    pub(crate) fn accept_first(&self, receiver: Receiver, write: OwnedWriteHalf) {
        let lease = OpenLease::new(self.shared.clone(), None);
        tokio::task::spawn_local(serve(receiver, write, self.shared.clone(), Ok(lease)));
    }

    /// Serves a new connection.
    pub(crate) fn accept(&self, stream: UnixStream) {
        let refusal = refusal(&stream);
        let (receiver, write) = Receiver::of(stream);
        tokio::task::spawn_local(serve(receiver, write, self.shared.clone(), Err(refusal)));
    }

    /// Returns the port that a lost keeper held, once a session has passed it on.
    pub(crate) async fn port(&self) -> OwnedFd {
        loop {
            if let Some(port) = self.shared.port.take() {
                return port;
            }
            self.shared.port_received.notified().await;
        }
    }

    /// Returns the removals of what dead sessions left.
    pub(crate) fn removals(&self) -> &Removals {
        &self.shared.removals
    }

    /// Returns whether any lease is open.
    pub(crate) fn has_open(&self) -> bool {
        !self.shared.open.borrow().is_empty()
    }

    /// Returns once no lease has been open for as long as `linger`.
    pub(crate) async fn wait_until_closed(&self, linger: Duration) {
        let mut open = self.shared.open.subscribe();
        loop {
            // `self` owns the sender, so neither wait can fail.
            let _ = open.wait_for(Vec::is_empty).await;
            if timeout(linger, open.wait_for(|open| !open.is_empty())).await.is_err() {
                return;
            }
        }
    }

    /// Returns once the children of all sessions are stopped, so that none can send a prompt to whoever takes the port. The
    /// sessions do this when they hear of the restart; the keeper does it for one that is suspended or too slow.
    pub(crate) async fn wait_until_held(&self) {
        let restart = self.shared.context.restarted.get();
        let deadline = Instant::now() + HOLD_TIMEOUT;
        loop {
            let mut unheld = self.shared.open.borrow().clone();
            unheld.retain(|lease| lease.is_unheld(restart));
            let mut sessions = unheld.iter().filter_map(|lease| lease.session.as_ref());
            let is_hopeless = sessions.all(|session| is_suspended(session.pid)) || Instant::now() >= deadline;
            if !is_hopeless {
                let _ = timeout(HOLD_CHECK, self.shared.held.notified()).await;
                continue;
            }
            for lease in unheld {
                let Some(child) = lease.child.get() else { continue };
                let mut hold = lease.own_hold.take();
                hold.stop(child).await;
                lease.own_hold.replace(hold);
            }
            return;
        }
    }

    /// Returns once every session was sent the keeper's last state. It doesn't matter when they read it.
    pub(crate) async fn wait_until_told(&self) {
        let told = async {
            while self.shared.open.borrow().iter().any(|lease| !lease.is_told.get()) {
                self.shared.told.notified().await;
            }
        };
        // The connection of one that has read nothing for long may be full.
        let _ = timeout(TELL_TIMEOUT, told).await;
    }

    /// Returns once a client has sent `stop`, with the failure to report to sessions that still hold a lease.
    pub(crate) async fn wait_for_stop(&self) -> Option<Failure> {
        let _ = self.shared.stop.subscribe().wait_for(|stop| *stop).await;
        let held = !self.shared.open.borrow().is_empty();
        let failure = Failure::new(Code::Unavailable, "`lclaude local stop` ended the backend")
            .cause("it was run while this session was using the backend")
            .help(RETRY_HELP);
        held.then_some(failure)
    }
}

impl Shared {
    fn is_stopping(&self) -> bool {
        *self.state.borrow() == FromKeeper::Stopping
    }

    fn sessions(&self) -> Vec<SessionInfo> {
        let session = |lease: &Rc<LeaseInfo>| {
            let session = lease.session.clone()?;
            Some(SessionInfo { held_for: lease.since.elapsed().as_secs(), ..session })
        };
        self.open.borrow().iter().filter_map(session).collect()
    }

    fn report(&self) -> Report {
        let now = self.state.borrow().clone();
        let ready = match &now {
            FromKeeper::Ready(ready) => Some(ready.clone()),
            _ => None,
        };
        let state = match now {
            FromKeeper::Queued | FromKeeper::Waiting { .. } | FromKeeper::Starting | FromKeeper::Listening => {
                State::Starting
            }
            FromKeeper::Progress(progress) => State::Progress(progress),
            FromKeeper::Ready(_) if self.open.borrow().is_empty() => {
                State::Lingering { left: self.context.linger.saturating_sub(self.idle_since.get().elapsed()).as_secs() }
            }
            FromKeeper::Ready(_) => State::Ready,
            FromKeeper::Restarting { reason } => State::Restarting { reason },
            FromKeeper::Failed { failure } | FromKeeper::ModelMissing(MissingModel { failure, .. }) => {
                State::Failed { failure }
            }
            FromKeeper::Stopping | FromKeeper::Released => State::Stopping,
        };
        Report {
            about: self.context.about.clone(),
            state,
            served: ready.as_ref().map(|ready| ready.served.clone()),
            group: ready.as_ref().and_then(|ready| ready.group),
            endpoint: ready.map(|ready| ready.endpoint),
            sessions: self.sessions(),
            restarts: self.context.restarted.get(),
            up_for: Some(self.since.elapsed().as_secs()),
            ..Report::default()
        }
    }
}

/// One open lease. Dropping it closes the lease.
struct OpenLease {
    shared: Rc<Shared>,
    info: Rc<LeaseInfo>,
}

impl OpenLease {
    fn new(shared: Rc<Shared>, session: Option<SessionInfo>) -> Self {
        let info = Rc::new(LeaseInfo {
            session,
            since: Instant::now(),
            child: Cell::default(),
            held: RefCell::default(),
            own_hold: RefCell::default(),
            is_told: Cell::default(),
        });
        shared.open.send_modify(|open| open.push(info.clone()));
        OpenLease { shared, info }
    }

    /// Returns what the session, or the keeper for it, stopped because the backend is down.
    fn held_processes(&self) -> Vec<Identity> {
        let is_down = !matches!(*self.shared.state.borrow(), FromKeeper::Listening | FromKeeper::Ready(_));
        if !is_down {
            return Vec::new();
        }
        let (held, own) = (self.info.held.borrow(), self.info.own_hold.borrow());
        held.iter().flat_map(|(_, processes)| processes).chain(own.processes()).copied().collect()
    }

    /// Closes the lease and waits until it is known whether it was the last one.
    async fn close(self) -> FromKeeper {
        let shared = self.shared.clone();
        drop(self);
        let mut open = shared.open.subscribe();
        let mut state = shared.state.clone();
        let others = async {
            if shared.context.linger.is_zero() {
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

impl Drop for OpenLease {
    fn drop(&mut self) {
        self.shared.idle_since.set(Instant::now());
        self.shared.open.send_modify(|open| open.retain(|other| !Rc::ptr_eq(other, &self.info)));
        self.shared.told.notify_one();
    }
}

/// Serves one connection. `lease`: the one that it already holds, or why it gets none.
async fn serve(
    mut receiver: Receiver,
    mut write: OwnedWriteHalf,
    shared: Rc<Shared>,
    lease: Result<OpenLease, Option<Failure>>,
) {
    // One that is refused gets no second descriptor.
    let _registered = if let Err(Some(_)) = &lease { None } else { panic::register(write.as_ref()) };
    match timeout(REPLY_TIMEOUT, receiver.next()).await {
        // The session goes on to another keeper, and keeps its private directory.
        Ok(Some(ToKeeper::Hello { .. })) if shared.is_stopping() => {
            let _ = send(&mut write, &FromKeeper::Stopping).await;
        }
        Ok(Some(ToKeeper::Hello { scratch, session })) => {
            if let Err(Some(failure)) = lease {
                let _ = send(&mut write, &FromKeeper::Failed { failure }).await;
                return;
            }
            if let Some(port) = receiver.descriptor() {
                shared.port.replace(Some(port));
                shared.port_received.notify_one();
            }
            let first = lease;
            let lease = OpenLease::new(shared, Some(session));
            drop(first);
            serve_session(&mut receiver, &mut write, &scratch, lease).await;
        }
        Ok(Some(ToKeeper::Status)) => {
            panic::point("status");
            let _ = send(&mut write, &Answer::Status { report: shared.report().into() }).await;
        }
        Ok(Some(ToKeeper::Stop { force })) => {
            if !force && !shared.open.borrow().is_empty() {
                let _ = send(&mut write, &Answer::InUse { sessions: shared.sessions() }).await;
                return;
            }
            shared.stop.send_replace(true);
            let _ = send(&mut write, &Answer::Stopping { sessions: shared.sessions() }).await;
            // The client waits for the connection to close, which must not happen before this process exits.
            std::future::pending::<()>().await;
        }
        _ => {}
    }
}

/// Serves one session from its `hello` until it ends or dies.
async fn serve_session(receiver: &mut Receiver, write: &mut OwnedWriteHalf, scratch: &Path, lease: OpenLease) {
    tokio::select! {
        () = receive_child(receiver, &lease) => {}
        () = send_states(write, &lease) => {}
    }
    // A session that left because this keeper is stopping goes on with another keeper.
    if !lease.shared.is_stopping() {
        let is_dead = is_closed(write.as_ref());
        let claimed = is_dead.then(|| claim(scratch, &lease.shared.context.runtime));
        if let Some(child) = lease.info.child.get() {
            end_child(child, lease.held_processes()).await;
        }
        if let Some(claimed) = claimed {
            lease.shared.removals.remove(claimed);
        }
    }
    let last_message = lease.close().await;
    let _ = send(write, &last_message).await;
    if last_message == FromKeeper::Stopping {
        // The session waits for the connection to close, which must not happen before this process exits.
        std::future::pending::<()>().await;
    }
}

/// Records the session's Claude Code and what is stopped; returns when the session closes the connection or dies.
async fn receive_child(receiver: &mut Receiver, lease: &OpenLease) {
    while let Some(message) = receiver.next().await {
        match message {
            ToKeeper::Child { process } => {
                lease.info.child.set(Some(process));
                if let Some(session) = &lease.info.session {
                    lease.shared.context.guard.record_child(session.pid, process);
                }
            }
            ToKeeper::Held { processes } => {
                lease.info.held.replace(Some((lease.shared.context.restarted.get(), processes)));
                lease.shared.held.notify_one();
            }
            _ => {}
        }
    }
}

/// Sends every change of state, and the held port with `ready`; returns when the session no longer receives.
async fn send_states(write: &mut OwnedWriteHalf, lease: &OpenLease) {
    let mut state = lease.shared.state.clone();
    loop {
        let now = state.borrow_and_update().clone();
        if now == FromKeeper::Queued {
            if state.changed().await.is_err() {
                return;
            }
            continue;
        }
        if matches!(now, FromKeeper::Listening | FromKeeper::Ready(_)) {
            lease.info.own_hold.borrow_mut().release();
        }
        let port = match now {
            FromKeeper::Ready(_) => lease.shared.context.port.borrow().as_ref().and_then(|port| port.try_clone().ok()),
            _ => None,
        };
        let line = encode(&now);
        let sent = match port {
            // If there is no room for it now, the session does without the port.
            Some(port) => descriptor::send(write.as_ref().as_fd(), &line, port.as_fd()).unwrap_or(0),
            None => 0,
        };
        if write.write_all(&line[sent..]).await.is_err() {
            return;
        }
        if now.is_last() {
            lease.info.is_told.set(true);
            lease.shared.told.notify_one();
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}
