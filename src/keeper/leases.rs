//! The leases of a keeper: who holds one, and what the keeper waits for before it ends or restarts the backend.

use std::{
    cell::{Cell, RefCell},
    os::fd::OwnedFd,
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};

use super::{
    dead_session::Removals,
    guard::Guard,
    progress::ActivityTracker,
    protocol::FromKeeper,
    report::{KeeperInfo, Report, SessionInfo, State},
    warm::request::{FirstRequest, Requests},
};
use crate::{
    backend::MissingModel,
    base::{
        error::{Code, Failure, RETRY_HELP},
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
    pub(super) shared: Rc<Shared>,
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
    /// What the server is doing.
    pub activity: Rc<ActivityTracker>,
}

/// What all leases have in common.
pub(super) struct Shared {
    pub(super) context: KeeperContext,
    pub(super) state: watch::Receiver<FromKeeper>,
    pub(super) since: Instant,
    pub(super) open: watch::Sender<Vec<Rc<LeaseInfo>>>,
    /// When the last lease closed.
    pub(super) idle_since: Cell<Instant>,
    /// Set when a client asks the keeper to stop.
    pub(super) stop: watch::Sender<bool>,
    /// Notified for each `held`.
    pub(super) held: Notify,
    /// The port that a lost keeper held, as its sessions pass it on.
    pub(super) port: RefCell<Option<OwnedFd>>,
    /// Notified for each of these.
    pub(super) port_received: Notify,
    /// Notified when a session was sent the keeper's last state.
    pub(super) told: Notify,
    pub(super) removals: Removals,
    pub(super) requests: watch::Sender<Option<(FirstRequest, bool)>>,
}

/// One lease, as all of them know it.
pub(super) struct LeaseInfo {
    /// `None` until the session sends `hello`.
    pub(super) session: Option<SessionInfo>,
    pub(super) since: Instant,
    /// The session's Claude Code.
    pub(super) child: Cell<Option<Identity>>,
    /// The restart for which the session stopped its child and descendants, and these processes.
    pub(super) held: RefCell<Option<(u32, Vec<Identity>)>>,
    /// What the keeper stopped itself, because the session didn't.
    pub(super) own_hold: RefCell<Hold>,
    /// Whether the session was sent the keeper's last state.
    pub(super) is_told: Cell<bool>,
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
            requests: watch::Sender::default(),
        };
        Leases { shared: Rc::new(shared) }
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

    /// Returns what sessions report about their first requests.
    pub(crate) fn requests(&self) -> Requests {
        self.shared.requests.subscribe()
    }

    /// Returns the removals of what dead sessions left.
    pub(crate) fn removals(&self) -> &Removals {
        &self.shared.removals
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
    pub(super) fn is_stopping(&self) -> bool {
        *self.state.borrow() == FromKeeper::Stopping
    }

    pub(super) fn sessions(&self) -> Vec<SessionInfo> {
        let session = |lease: &Rc<LeaseInfo>| {
            let session = lease.session.clone()?;
            Some(SessionInfo { held_for: lease.since.elapsed().as_secs(), ..session })
        };
        self.open.borrow().iter().filter_map(session).collect()
    }

    pub(super) fn report(&self) -> Report {
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
            FromKeeper::Ready(_) | FromKeeper::Activity(_) => State::Ready,
            FromKeeper::Restarting { reason } => State::Restarting { reason },
            FromKeeper::Failed { failure }
            | FromKeeper::Refused { failure }
            | FromKeeper::ModelMissing(MissingModel { failure, .. }) => State::Failed { failure },
            FromKeeper::Stopping | FromKeeper::Released => State::Stopping,
        };
        Report {
            about: self.context.about.clone(),
            state,
            activity: ready.as_ref().and_then(|ready| self.context.activity.look(&ready.endpoint)),
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
pub(super) struct OpenLease {
    pub(super) shared: Rc<Shared>,
    pub(super) info: Rc<LeaseInfo>,
}

impl OpenLease {
    pub(super) fn new(shared: Rc<Shared>, session: Option<SessionInfo>) -> Self {
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
    pub(super) fn held_processes(&self) -> Vec<Identity> {
        let is_down = !matches!(*self.shared.state.borrow(), FromKeeper::Listening | FromKeeper::Ready(_));
        if !is_down {
            return Vec::new();
        }
        let (held, own) = (self.info.held.borrow(), self.info.own_hold.borrow());
        held.iter().flat_map(|(_, processes)| processes).chain(own.processes()).copied().collect()
    }

    /// Closes the lease and waits until it is known whether it was the last one.
    pub(super) async fn close(self) -> FromKeeper {
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
