//! The signals a launcher handles, as one stream of events.
//!
//! TSTP is not handled: Claude Code suspends its whole process group, and lclaude stops and continues with it. A signal
//! that our caller made us ignore stays ignored.

use std::{io, time::Duration};

use rustix::process::Signal;
use tokio::{
    signal::unix::{self, SignalKind},
    sync::mpsc,
    time::timeout,
};

use super::{
    error::{Code, Failure, Result},
    process::is_ignored,
    ui,
};

/// The stream of INT, TERM, HUP and QUIT.
pub(crate) struct Signals {
    interrupts: mpsc::UnboundedReceiver<()>,
    terminate: Option<unix::Signal>,
    hangup: Option<unix::Signal>,
    quit: Option<unix::Signal>,
    last: Option<Signal>,
}

impl Signals {
    /// Installs handlers, after which INT, TERM, HUP and QUIT no longer end this process.
    ///
    /// The signals are handled rather than ignored, because an ignored signal stays ignored in the child.
    pub(crate) fn listen() -> Result<Self> {
        Self::install().map_err(|error| Failure::new(Code::Bug, "signal handlers could not be installed").cause(error))
    }

    fn install() -> io::Result<Self> {
        let (sender, interrupts) = mpsc::unbounded_channel();
        if !is_ignored(libc::SIGINT) {
            ctrlc::set_handler(move || {
                let _ = sender.send(());
            })
            .map_err(|error| match error {
                ctrlc::Error::System(error) => error,
                other => io::Error::other(other),
            })?;
        }
        Ok(Signals {
            interrupts,
            terminate: stream(SignalKind::terminate())?,
            hangup: stream(SignalKind::hangup())?,
            quit: stream(SignalKind::quit())?,
            last: None,
        })
    }

    /// Waits for the next signal. Cancel safe: no signal is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Signal {
        let signal = tokio::select! {
            Some(()) = self.interrupts.recv() => Signal::INT,
            () = recv(&mut self.terminate) => Signal::TERM,
            () = recv(&mut self.hangup) => Signal::HUP,
            () = recv(&mut self.quit) => Signal::QUIT,
        };
        self.last = Some(signal);
        signal
    }

    /// Forgets signals that have arrived but were not waited for.
    pub(crate) async fn forget(&mut self) {
        while timeout(Duration::ZERO, self.next()).await.is_ok() {}
    }

    /// Asks the user a yes/no question. Returns `None` if a signal arrives first.
    pub(crate) async fn agrees(&mut self, question: String) -> Option<bool> {
        tokio::select! {
            yes = tokio::task::spawn_blocking(move || ui::confirm(&question)) => Some(yes.unwrap_or(false)),
            _ = self.next() => None,
        }
    }

    /// Returns 128+N for the last signal N, as shells report it, or 0 if there was none.
    pub(crate) fn exit_code(&self) -> u8 {
        self.last.and_then(|signal| u8::try_from(128 + signal.as_raw()).ok()).unwrap_or(0)
    }
}

fn stream(kind: SignalKind) -> io::Result<Option<unix::Signal>> {
    if is_ignored(kind.as_raw_value()) {
        return Ok(None);
    }
    unix::signal(kind).map(Some)
}

async fn recv(stream: &mut Option<unix::Signal>) {
    let received = match stream {
        Some(stream) => stream.recv().await,
        None => None,
    };
    if received.is_none() {
        std::future::pending::<()>().await;
    }
}
