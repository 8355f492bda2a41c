//! The signals that concern a launcher, as one stream of events.
//!
//! TSTP is never taken: Claude Code suspends its whole process group, and lclaude is to stop and continue with it. A
//! signal that our caller had us ignore stays ignored.

use std::io;

use rustix::process::Signal;
use tokio::{
    signal::unix::{self, SignalKind},
    sync::mpsc,
};

use super::{
    error::{Code, Failure, Result},
    process::ignored,
    ui,
};

pub struct Signals {
    interrupts: mpsc::UnboundedReceiver<()>,
    terminate: Option<unix::Signal>,
    hangup: Option<unix::Signal>,
    quit: Option<unix::Signal>,
    last: Option<Signal>,
}

impl Signals {
    /// From here on INT, TERM, HUP and QUIT end nothing by themselves. A handler, not "ignore", because an ignored
    /// signal would stay ignored in the child.
    pub fn listen() -> Result<Self> {
        Self::handled().map_err(|error| Failure::new(Code::Bug, "signals cannot be caught").why(error))
    }

    fn handled() -> io::Result<Self> {
        let (sender, interrupts) = mpsc::unbounded_channel();
        if !ignored(libc::SIGINT) {
            ctrlc::set_handler(move || {
                let _ = sender.send(());
            })
            .map_err(io::Error::other)?;
        }
        Ok(Signals {
            interrupts,
            terminate: stream(SignalKind::terminate())?,
            hangup: stream(SignalKind::hangup())?,
            quit: stream(SignalKind::quit())?,
            last: None,
        })
    }

    /// The next signal that was sent to us. May be dropped and called again without losing one.
    pub async fn next(&mut self) -> Signal {
        let signal = tokio::select! {
            Some(()) = self.interrupts.recv() => Signal::INT,
            () = recv(&mut self.terminate) => Signal::TERM,
            () = recv(&mut self.hangup) => Signal::HUP,
            () = recv(&mut self.quit) => Signal::QUIT,
        };
        self.last = Some(signal);
        signal
    }

    /// Asks the user while signals are heard too; `None` when one came first.
    pub async fn agrees(&mut self, question: String) -> Option<bool> {
        tokio::select! {
            yes = tokio::task::spawn_blocking(move || ui::agrees(&question)) => Some(yes.unwrap_or(false)),
            _ = self.next() => None,
        }
    }

    /// 128+N for the last signal N that came: how a shell reports a program that it ended.
    pub fn exit_code(&self) -> u8 {
        self.last.and_then(|signal| u8::try_from(128 + signal.as_raw()).ok()).unwrap_or(0)
    }
}

fn stream(kind: SignalKind) -> io::Result<Option<unix::Signal>> {
    if ignored(kind.as_raw_value()) {
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
        std::future::pending().await
    }
}
