//! The session's side of a lease: taking it, renewing it when the keeper is lost, and releasing it.

use std::{
    collections::VecDeque,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use super::{
    external,
    files::{Escalation, PlanFiles},
    link::{CloseOutcome, Link},
    protocol::{FromKeeper, Ready},
    start::StartRequest,
    sweep,
    timeouts::RETRY_HELP,
};
use crate::{
    backend::{self, Service, registry},
    base::{
        error::{Code, Failure, Result},
        port::{self, ReservedPort},
        process::{Ending, Identity},
        ui,
    },
};

/// Keepers that may be lost in a row before any of them has its backend up.
const MAX_LOSSES: u32 = 3;

/// A session's claim on its backend. If the keeper is lost, the lease is renewed with a new keeper on the same port
/// with the same key, so a running Claude Code continues.
pub(crate) struct Lease {
    start: StartRequest,
    scratch: PathBuf,
    child: Option<Identity>,
    /// The processes that are stopped until the backend listens again.
    held: Vec<Identity>,
    connection: Connection,
    /// Events received but not returned yet.
    pending: VecDeque<FromKeeper>,
    ready: Option<Ready>,
    losses: u32,
    /// The keeper reported that the backend can't be restarted, and is exiting.
    failed: bool,
    /// The port of a server that shares it.
    reserved: Option<ReservedPort>,
    /// The port that is lent to the backend, as the keeper holds it.
    port: Option<OwnedFd>,
}

enum Connection {
    Keeper(Box<Link>),
    /// The keeper is gone.
    Lost,
    /// There is no keeper, because somebody else runs the server.
    External,
}

impl Lease {
    /// Takes a lease from the plan's keeper, starting one if necessary.
    ///
    /// The keeper removes `scratch`, the session's private directory, if the session can't.
    pub(crate) async fn take(start: StartRequest, scratch: &Path) -> Result<Self> {
        let backend = registry::backend(start.plan.kind);
        let (connection, first) = match (backend.needs_keeper(), &start.endpoint) {
            (false, Some(endpoint)) => {
                // Otherwise a keeper does this.
                sweep::remove_dead_sessions(&start.runtime);
                let served = backend::visit(backend, &start.plan, endpoint).await?;
                let ready = Ready { endpoint: endpoint.clone(), served, group: None };
                external::record(&start, &ready, scratch);
                (Connection::External, FromKeeper::Ready(ready))
            }
            _ => {
                let (link, first) = Link::connect(&start, scratch, None).await?;
                (Connection::Keeper(link.into()), first)
            }
        };
        let pending = VecDeque::from([first]);
        Ok(Lease {
            start,
            scratch: scratch.to_owned(),
            child: None,
            held: Vec::new(),
            connection,
            pending,
            ready: None,
            losses: 0,
            failed: false,
            reserved: None,
            port: None,
        })
    }

    /// Cleans up when `take` is canceled: wakes a suspended keeper, so that it notices that it is unused.
    pub(crate) async fn give_up(start: &StartRequest) {
        PlanFiles::new(&start.runtime, &start.plan.id()).escalate(Escalation::Wake).await;
    }

    /// Returns the next event. If the keeper is lost and the child must be stopped before another keeper starts, that is
    /// `Starting`.
    ///
    /// May be dropped and called again, except while a child runs: dropping it could cancel a renewal, and the new
    /// keeper would then treat the session as dead.
    pub(crate) async fn event(&mut self) -> FromKeeper {
        loop {
            let event = match (self.pending.pop_front(), &mut self.connection) {
                (Some(event), _) => event,
                (None, Connection::Keeper(link)) => match link.event().await {
                    None | Some(FromKeeper::Stopping) => {
                        self.connection = Connection::Lost;
                        if self.holds_child() {
                            return FromKeeper::Starting;
                        }
                        continue;
                    }
                    Some(event) => event,
                },
                (None, Connection::Lost) => match self.renew().await {
                    Ok(()) => continue,
                    Err(failure) => return FromKeeper::Failed { failure },
                },
                (None, Connection::External) => std::future::pending().await,
            };
            self.failed |= matches!(event, FromKeeper::Failed { .. } | FromKeeper::ModelMissing(_));
            if let FromKeeper::Ready(ready) = &event {
                if self.ready.as_ref().is_some_and(|before| before.endpoint != ready.endpoint) {
                    return FromKeeper::Failed { failure: port_changed() };
                }
                self.reserve(ready.endpoint.port);
                if let Connection::Keeper(link) = &mut self.connection {
                    self.port = link.port().or(self.port.take());
                }
                self.start = self.start.at(ready.endpoint.clone());
                self.ready = Some(ready.clone());
                self.losses = 0;
            }
            if matches!(event, FromKeeper::Starting | FromKeeper::Restarting { .. })
                && self.child.is_none()
                && self.start.plan.lends_port()
            {
                // Nothing has to be stopped.
                self.held(&[]).await;
            }
            return event;
        }
    }

    /// Holds the port alongside the keeper, so that nobody takes it if the keeper is killed.
    fn reserve(&mut self, port: u16) {
        if let Service::Program(program) = &self.start.plan.service
            && program.shares_port
            && self.reserved.is_none()
            // On other systems a bound socket that doesn't listen may receive the backend's connections.
            && cfg!(target_os = "linux")
        {
            self.reserved = port::reserve_shared(Some(port)).ok();
        }
    }

    async fn renew(&mut self) -> Result<()> {
        tracing::warn!(pid = std::process::id(), losses = self.losses, "keeper lost");
        if self.losses >= MAX_LOSSES {
            let failure = Failure::new(Code::Unavailable, "the backend's keeper was lost")
                .cause(format!("{MAX_LOSSES} keepers in a row exited unexpectedly"));
            // A full disk leaves no log.
            return Err(if self.start.log.exists() {
                failure.help(format!("tail {}", ui::quote_path(&self.start.log)))
            } else {
                failure.help(RETRY_HELP)
            });
        }
        let (mut link, first) = Link::connect(&self.start, &self.scratch, self.port.as_ref()).await?;
        self.losses += 1;
        if let Some(child) = self.child {
            link.guard(child).await;
            link.held(&self.held).await;
        }
        self.connection = Connection::Keeper(link.into());
        self.pending.push_back(first);
        Ok(())
    }

    /// Asks the keeper to end `child` if this process dies first.
    pub(crate) async fn guard(&mut self, child: Identity) {
        self.child = Some(child);
        if let Connection::Keeper(link) = &mut self.connection {
            link.guard(child).await;
        }
    }

    /// Returns whether the child must be stopped while the backend is down, since it would send prompts to whoever
    /// takes the port.
    pub(crate) fn holds_child(&self) -> bool {
        self.child.is_some() && self.start.plan.lends_port()
    }

    /// Reports which processes are stopped until the backend listens again. The keeper restarts the backend after that.
    pub(crate) async fn held(&mut self, processes: &[Identity]) {
        self.held = processes.to_vec();
        if let Connection::Keeper(link) = &mut self.connection {
            link.held(&self.held).await;
        }
    }

    /// Releases the lease. Returns when everything that only this session used is gone.
    pub(crate) async fn release(self) {
        let outcome = match self.connection {
            Connection::Keeper(link) => link.close(self.failed).await,
            Connection::Lost => CloseOutcome::Lost,
            Connection::External => return,
        };
        if outcome == CloseOutcome::Released {
            return;
        }
        // Clean up after a killed keeper: end its processes, and let a new keeper undo its changes.
        if let Some(group) = self.ready.and_then(|ready| ready.group) {
            group.end(Ending::Kill).await;
        }
        if outcome == CloseOutcome::Lost
            && let Ok((link, _)) = Link::connect(&self.start, &self.scratch, self.port.as_ref()).await
        {
            link.close(false).await;
        }
    }
}

/// Returns the failure for a backend that restarted on another port, for example while this session was suspended.
fn port_changed() -> Failure {
    Failure::new(Code::Unavailable, "the backend restarted on another port")
        .cause("its keeper was lost, and another session started a new one")
        .help(RETRY_HELP)
}
