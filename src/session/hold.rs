//! Holds the session's child while its backend is down.

use crate::base::{
    process::{Hold, Identity, is_listened_on},
    signals::Repeated,
};

/// The stopped child of a session, with its descendants. Dropping this value continues them.
pub(crate) struct ChildHold {
    child: Option<Identity>,
    /// The backend's port.
    port: u16,
    hold: Hold,
    /// SIGCONT to this process while the child is stopped.
    continued: Option<Repeated>,
}

impl ChildHold {
    /// Returns a hold that has stopped nothing yet.
    pub(crate) fn new(child: Option<Identity>, port: u16) -> Self {
        ChildHold { child, port, hold: Hold::default(), continued: None }
    }

    /// Stops the child and its descendants, and returns when they have stopped.
    pub(crate) async fn stop(&mut self) {
        if let Some(child) = self.child {
            self.continued = Repeated::continued().ok();
            self.hold.stop(child).await;
        }
    }

    /// Returns once a shell has continued this process, and with it the child: `fg` after Ctrl-Z.
    pub(crate) async fn continued(&mut self) {
        match &mut self.continued {
            Some(signal) => signal.next().await,
            None => std::future::pending().await,
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        self.hold.is_active()
    }

    /// Returns the stopped processes.
    pub(crate) fn processes(&self) -> &[Identity] {
        self.hold.processes()
    }

    /// Continues what was stopped.
    pub(crate) fn release(&mut self) {
        self.hold.release();
        self.continued = None;
    }

    /// Kills what was stopped if somebody listens on the backend's port. A program that continues in order to end could
    /// still send a prompt there.
    pub(crate) fn kill_if_port_is_taken(&mut self) -> bool {
        let kills = self.is_active() && is_listened_on(self.port);
        if kills {
            self.hold.kill();
        }
        kills
    }
}
