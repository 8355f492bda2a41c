//! The session's side of a lease: taking it, renewing it when the keeper is lost, letting go of it.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use super::{
    files::{PlanFiles, Rouse},
    link::{Farewell, Link},
    patience::AGAIN,
    protocol::{FromKeeper, Ready},
    start::Start,
    sweep,
};
use crate::{
    backend::{self, Service, registry},
    base::{
        error::{Code, Failure, Result},
        port::{self, Reserved},
        process::{Ending, Identity},
    },
};

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

impl Lease {
    /// Takes a lease on the plan's keeper, starting one if there is none.
    ///
    /// `scratch` is the session's private directory, for the keeper to remove if the session cannot.
    pub async fn take(start: Start, scratch: &Path) -> Result<Self> {
        let backend = registry::backend(start.plan.kind);
        let (hold, first) = match (backend.needs_keeper(), &start.endpoint) {
            (false, Some(endpoint)) => {
                // No keeper will do it.
                sweep::sessions(&start.runtime);
                let served = backend::visit(backend, &start.plan, endpoint).await?;
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

    /// What happens next. May be dropped and called again, but while a child runs: that would break off a renewal, and
    /// the next keeper would take the session for one that has died.
    pub async fn event(&mut self) -> FromKeeper {
        loop {
            let event = match (self.known.pop_front(), &mut self.hold) {
                (Some(event), _) => event,
                (None, Hold::Keeper(link)) => match link.event().await {
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
        .help(AGAIN)
}
