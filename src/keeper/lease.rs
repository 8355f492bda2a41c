//! The session's side of a lease: taking it, renewing it when the keeper is lost, and releasing it.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{task::spawn_blocking, time::sleep};

use super::{
    dead_session, external,
    files::PlanFiles,
    link::{CloseOutcome, Link},
    lock::LockFile,
    protocol::{FromKeeper, Ready, ToKeeper},
    report::SessionInfo,
    start::StartRequest,
    sweep,
    warm::request::FirstRequest,
};
use crate::{
    backend::{self, Service, registry},
    base::{
        error::{Code, Failure, RETRY_HELP, Result},
        failpoint,
        port::{self, ReservedPort},
        process::{Ending, Identity},
        ui,
    },
};

/// Keepers that may be lost in a row before any of them has its backend up.
const MAX_LOSSES: u32 = 3;
/// Connections in a row that may close without an answer. A few may meet a keeper that is exiting, but not this many.
const MAX_TRIES: u32 = 20;
/// The longest pause between two of them.
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// A session's claim on its backend. If the keeper is lost, the lease is renewed with a new keeper on the same port
/// with the same key, so a running Claude Code continues.
pub(crate) struct Lease {
    start: StartRequest,
    files: PlanFiles,
    scratch: PathBuf,
    /// Whether the keeper reports what the server is doing.
    watches: bool,
    child: Option<Identity>,
    /// The processes that are stopped until the backend listens again.
    held: Vec<Identity>,
    connection: Connection,
    ready: Option<Ready>,
    /// Connections since the last answer.
    tries: u32,
    /// Keepers that were lost since the backend was last ready.
    losses: u32,
    /// The keeper reported that the backend can't be restarted, and is exiting.
    failed: bool,
    /// Held once a keeper has answered.
    in_use: Option<LockFile>,
    /// The port of a server that shares it.
    reserved: Option<ReservedPort>,
    /// The port that is lent to the backend, as the keeper holds it.
    port: Option<OwnedFd>,
}

enum Connection {
    /// There is no connection yet, or the keeper is gone.
    None,
    Keeper(Box<Link>),
    /// The keeper has no room for this session.
    Refused,
    /// There is no keeper, because somebody else runs the server.
    External,
}

impl Lease {
    /// Returns a lease on the plan's backend. [`Lease::event`] takes it, from the plan's keeper, which it starts if
    /// necessary.
    ///
    /// The keeper removes `scratch`, the session's private directory, if the session can't.
    pub(crate) fn new(start: StartRequest, scratch: &Path) -> Self {
        let is_external = !registry::backend(start.plan.kind).needs_keeper() && start.endpoint.is_some();
        Lease {
            files: PlanFiles::new(&start.runtime, &start.plan.id()),
            start,
            scratch: scratch.to_owned(),
            watches: false,
            child: None,
            held: Vec::new(),
            connection: if is_external { Connection::External } else { Connection::None },
            ready: None,
            tries: 0,
            losses: 0,
            failed: false,
            in_use: None,
            reserved: None,
            port: None,
        }
    }

    /// Returns the next event. If the keeper is lost and the child must be stopped before another keeper starts, that is
    /// `Starting`.
    ///
    /// May be dropped and called again.
    pub(crate) async fn event(&mut self) -> FromKeeper {
        loop {
            let event = match &mut self.connection {
                Connection::None => match self.connect().await {
                    Ok(()) => continue,
                    Err(failure) => FromKeeper::Failed { failure },
                },
                Connection::Keeper(link) => match link.event().await {
                    Some(FromKeeper::Refused { failure }) => {
                        self.connection = Connection::Refused;
                        FromKeeper::Failed { failure }
                    }
                    Some(event) if event != FromKeeper::Stopping => event,
                    last => {
                        if last.is_some() {
                            link.dismiss().await;
                        } else {
                            // A keeper that stops says so.
                            self.losses += u32::from(link.was_answered());
                        }
                        self.connection = Connection::None;
                        if self.holds_child() {
                            return FromKeeper::Starting;
                        }
                        continue;
                    }
                },
                Connection::Refused => std::future::pending().await,
                Connection::External => self.visit().await,
            };
            self.note(&event);
            if let FromKeeper::Ready(ready) = &event {
                if self.ready.as_ref().is_some_and(|before| before.endpoint != ready.endpoint) {
                    return FromKeeper::Failed { failure: port_changed() };
                }
                self.reserve(ready.endpoint.port);
                if let Connection::Keeper(link) = &mut self.connection {
                    self.port = link.port().or(self.port.take());
                }
                self.ready = Some(ready.clone());
                failpoint::reach("session-ready");
            }
            if matches!(event, FromKeeper::Starting | FromKeeper::Restarting { .. })
                && self.child.is_none()
                && self.start.plan.lends_port()
            {
                // Nothing has to be stopped.
                self.held(&[]);
            }
            return event;
        }
    }

    /// Returns the lease with [`FromKeeper::Activity`] among its events.
    pub(crate) fn watching(self, watches: bool) -> Self {
        Lease { watches, ..self }
    }

    /// Updates what is known about the keeper.
    fn note(&mut self, event: &FromKeeper) {
        match event {
            FromKeeper::Waiting { .. } => return,
            FromKeeper::Failed { .. } | FromKeeper::ModelMissing(_) => self.failed = true,
            FromKeeper::Ready(_) => self.losses = 0,
            _ => {}
        }
        self.tries = 0;
        if let (None, Connection::Keeper(_)) = (&self.in_use, &self.connection) {
            self.in_use = self.files.share_lease();
        }
    }

    /// Asks the server that somebody else runs. There is only one event.
    async fn visit(&mut self) -> FromKeeper {
        let (None, Some(endpoint)) = (&self.ready, &self.start.endpoint) else {
            return std::future::pending().await;
        };
        // Otherwise a keeper does this.
        let places = self.start.places.clone();
        if let Ok(dead) = spawn_blocking(move || dead_session::claim_all(&places)).await {
            // The session doesn't wait for it; the next one finishes it.
            spawn_blocking(move || drop(dead));
        }
        match backend::visit(registry::backend(self.start.plan.kind), &self.start.plan, endpoint).await {
            Ok(served) => {
                let ready = Ready { endpoint: endpoint.clone(), served, group: None };
                external::record(&self.start, &ready, &self.scratch);
                FromKeeper::Ready(ready)
            }
            Err(failure) => FromKeeper::Failed { failure },
        }
    }

    /// Holds the port alongside the keeper, so that nobody takes it if the keeper is killed.
    fn reserve(&mut self, port: u16) {
        if let Service::Program(program) = &self.start.plan.service
            && program.shares_port
            && self.reserved.is_none()
            && port::LENDS
        {
            self.reserved = port::reserve_shared(Some(port)).ok();
        }
    }

    async fn connect(&mut self) -> Result<()> {
        if self.losses >= MAX_LOSSES || self.tries >= MAX_TRIES {
            return Err(self.keeper_lost());
        }
        if self.losses > 0 {
            tracing::warn!(pid = std::process::id(), losses = self.losses, "keeper lost");
        }
        if self.tries > 1 {
            sleep(Duration::from_millis(1 << self.tries).min(MAX_PAUSE)).await;
        }
        if self.in_use.as_ref().is_some_and(|lease| !self.files.is_shared_by(lease)) {
            // The runtime directory was cleaned. The next keeper must know that somebody uses the port and key.
            self.in_use = self.files.share_lease();
        }
        let hello =
            ToKeeper::Hello { scratch: self.scratch.clone(), session: SessionInfo::of_self(), watches: self.watches };
        let mut link = Link::open(&self.start, &self.files, &hello, self.port.as_ref()).await?;
        self.tries += 1;
        if let Some(child) = self.child {
            link.post(&ToKeeper::Child { process: child });
            link.post(&ToKeeper::Held { processes: self.held.clone() });
        }
        self.connection = Connection::Keeper(link.into());
        Ok(())
    }

    fn keeper_lost(&self) -> Failure {
        let times = if self.losses >= MAX_LOSSES { MAX_LOSSES } else { MAX_TRIES };
        let failure = Failure::new(Code::Unavailable, "the backend's keeper was lost")
            .cause(format!("{times} keepers in a row exited unexpectedly"));
        // A full disk leaves no log.
        if self.start.log.exists() {
            failure.help(format!("tail {}", ui::quote_path(&self.start.log)))
        } else {
            failure.help(RETRY_HELP)
        }
    }

    /// Asks the keeper to end `child` if this process dies first.
    pub(crate) fn guard(&mut self, child: Identity) {
        self.child = Some(child);
        if let Connection::Keeper(link) = &mut self.connection {
            // `event` notices a lost keeper.
            link.post(&ToKeeper::Child { process: child });
        }
    }

    /// Returns the request for the keeper.
    pub(crate) fn start(&self) -> &StartRequest {
        &self.start
    }

    /// Returns whether a keeper has this lease.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.connection, Connection::Keeper(_))
    }

    /// Reports how the conversation of this session starts.
    pub(crate) fn requested(&mut self, request: FirstRequest) {
        if let Connection::Keeper(link) = &mut self.connection {
            link.post(&ToKeeper::Requested(request.into()));
        }
    }

    /// Returns whether the child must be stopped while the backend is down, since it would send prompts to whoever
    /// takes the port.
    pub(crate) fn holds_child(&self) -> bool {
        self.child.is_some() && self.start.plan.lends_port()
    }

    /// Reports which processes are stopped until the backend listens again. The keeper restarts the backend after that.
    pub(crate) fn held(&mut self, processes: &[Identity]) {
        self.held = processes.to_vec();
        if let Connection::Keeper(link) = &mut self.connection {
            link.post(&ToKeeper::Held { processes: self.held.clone() });
        }
    }

    /// Releases the lease. Returns when everything that only this session used is gone, except for a backend that ends
    /// gently. If this is dropped, the keeper goes on alone.
    pub(crate) async fn release(mut self) {
        failpoint::reach("session-releasing");
        self.in_use = None;
        let outcome = match self.connection {
            Connection::Refused | Connection::External => return,
            Connection::None => CloseOutcome::Lost,
            Connection::Keeper(link) => {
                let gently = matches!(
                    &self.start.plan.service,
                    Service::Program(program) if program.ending == Ending::Terminate
                );
                link.close(self.failed, gently).await
            }
        };
        // Another session that uses the backend starts a new keeper.
        if outcome == CloseOutcome::Lost && self.files.is_unused() {
            sweep::clean_up(&self.files).await;
        }
    }
}

/// Returns the failure for a backend that restarted on another port, for example while this session was suspended.
fn port_changed() -> Failure {
    Failure::new(Code::Unavailable, "the backend restarted on another port")
        .cause("its keeper was lost, and another session started a new one")
        .help(RETRY_HELP)
}
