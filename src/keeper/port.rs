//! The port of one backend: reserved before the program starts, lent to it, and closed to everybody else once it listens.

use std::{cell::Cell, os::fd::OwnedFd};

use crate::{
    backend::Program,
    base::{
        commands,
        error::{Code, Failure, Result},
        port::{self, ReservedPort, no_free_port},
        process::{Group, Listener, is_listened_on},
    },
};

/// The reserved port of a backend, across restarts.
#[derive(Default)]
pub(crate) struct BackendPort {
    reserved: Option<ReservedPort>,
    /// Whether the program can't bind a port that is lent, so that it has to be released.
    must_release: bool,
    /// Whether the program couldn't bind the port.
    was_refused: Cell<bool>,
    /// Whether the listener of this run is known to be ours.
    verified: Cell<bool>,
}

impl BackendPort {
    /// `reserved`: a port that a lost keeper held.
    pub(crate) fn new(reserved: Option<ReservedPort>) -> Self {
        BackendPort { reserved, ..Self::default() }
    }

    /// Returns a descriptor for sessions, with which they hold the port if this keeper is killed.
    pub(crate) fn descriptor(&self) -> Option<OwnedFd> {
        self.reserved.as_ref().and_then(ReservedPort::descriptor)
    }

    /// Reserves `wanted` or any free port, unless a port is reserved already. Returns its number.
    pub(crate) fn reserve(&mut self, program: &Program, wanted: Option<u16>) -> Result<u16> {
        if let Some(reserved) = &self.reserved {
            return Ok(reserved.port);
        }
        let reserved = if program.shares_port { port::reserve_shared(wanted) } else { port::reserve_exclusive(wanted) };
        Ok(self.reserved.insert(reserved.map_err(no_free_port)?).port)
    }

    /// Lets the program that is about to start bind the port. Until [`BackendPort::listener`] returns `Ours`, any other
    /// program can bind it too, so no session may send a prompt.
    pub(crate) fn lend(&mut self) {
        self.verified.set(false);
        match &mut self.reserved {
            Some(reserved) if self.must_release => reserved.release(),
            Some(reserved) => reserved.lend(),
            None => {}
        }
    }

    /// Returns who listens on the port. Closes it as soon as that is the program of `group`, and then looks again: after
    /// that nobody else can begin to listen.
    pub(crate) fn listener(&self, group: Group) -> Listener {
        let Some(reserved) = &self.reserved else {
            return Listener::Nobody;
        };
        let first = group.listener(reserved.port);
        if first != Listener::Ours || self.verified.get() {
            return first;
        }
        reserved.close();
        let second = group.listener(reserved.port);
        self.verified.set(second == Listener::Ours);
        second
    }

    /// Returns a warning for a program that can't start while the port is held: if it crashes, another user's program may
    /// take the port before the keeper does.
    pub(crate) fn warning(&self) -> Option<String> {
        let port = self.reserved.as_ref().filter(|_| self.must_release)?.port;
        Some(format!(
            "warning: other users of this machine can take port {port} if the server crashes\n  \
             help: use a server that sets SO_REUSEADDR, as most do"
        ))
    }

    /// Records that the program exited because the port was in use.
    pub(crate) fn record_refusal(&self) {
        self.was_refused.set(true);
    }

    /// Releases the port for the next start of a program that exited because the port was in use, if nobody listens
    /// there: then our own socket was in its way. Returns whether another start can help.
    pub(crate) fn release_next_time(&mut self) -> bool {
        let blocks = |reserved: &ReservedPort| reserved.is_exclusive() && !is_listened_on(reserved.port);
        let helps = self.was_refused.take() && !self.must_release && self.reserved.as_ref().is_some_and(blocks);
        self.must_release |= helps;
        helps
    }

    /// Takes the port back from a program that has ended.
    pub(crate) fn take_back(&mut self) {
        if let Some(reserved) = &mut self.reserved
            && let Err(error) = reserved.take_back()
        {
            tracing::warn!(port = reserved.port, %error, "port can't be taken back");
        }
    }

    /// Gives the port up for another one.
    pub(crate) fn give_up(&mut self) {
        self.reserved = None;
    }
}

/// Returns the failure for a restarted backend whose port somebody else has.
pub(crate) fn port_taken(port: u16) -> Failure {
    Failure::new(Code::Unavailable, format!("port {port} is taken"))
        .cause(format!("another program listens on port {port}"))
        .help(commands::list_listeners())
}
