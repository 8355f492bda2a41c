//! The signals a launcher handles, as one stream of events.
//!
//! TSTP is not handled: Claude Code suspends its whole process group, and lclaude stops and continues with it. A signal
//! that our caller made us ignore stays ignored.

use std::{
    io, mem, ptr,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use libc::{c_int, c_void, siginfo_t};
use rustix::process::Signal;
use tokio::{
    signal::unix::{self, SignalKind},
    sync::mpsc,
    time::timeout,
};

use super::{
    error::{Code, Failure, Result},
    exit::Exit,
    process::{is_ignored, is_in_foreground, is_sent_by_process},
    question::{self, Enter},
    ui,
};

/// A signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    pub signal: Signal,
    /// Whether it was typed at the terminal, as Ctrl-C or Ctrl-\. The terminal then sent it to the child too.
    pub is_typed: bool,
}

/// The answer to a question.
pub(crate) enum Answer {
    /// The line that the user typed, trimmed.
    Line(String),
    /// The end of the input, as Ctrl-D.
    End,
    /// A signal arrived first, as from Ctrl-C.
    Interrupted,
}

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
            record_sender(libc::SIGINT)?;
        }
        let (terminate, hangup) = (stream(SignalKind::terminate())?, stream(SignalKind::hangup())?);
        let quit = stream(SignalKind::quit())?;
        if quit.is_some() {
            record_sender(libc::SIGQUIT)?;
        }
        Ok(Signals { interrupts, terminate, hangup, quit, last: None })
    }

    /// Waits for the next signal. Cancel safe: no signal is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Received {
        let signal = tokio::select! {
            Some(()) = self.interrupts.recv() => Signal::INT,
            () = recv(&mut self.terminate) => Signal::TERM,
            () = recv(&mut self.hangup) => Signal::HUP,
            () = recv(&mut self.quit) => Signal::QUIT,
        };
        self.last = Some(signal);
        let is_typed = matches!(signal, Signal::INT | Signal::QUIT) && is_typed(signal);
        Received { signal, is_typed }
    }

    /// Forgets signals that have arrived but were not waited for.
    pub(crate) async fn forget(&mut self) {
        while timeout(Duration::ZERO, self.next()).await.is_ok() {}
    }

    /// Asks the user a yes/no question. Returns `None` if a signal arrives first.
    pub(crate) async fn agrees(&mut self, question: String, enter: Enter) -> Option<bool> {
        tokio::select! {
            yes = tokio::task::spawn_blocking(move || question::confirm(&question, enter)) => Some(yes.unwrap_or(false)),
            _ = self.next() => None,
        }
    }

    /// Asks which of `count` listed entries to use, as [`question::pick`] does. Returns `None` if a signal arrives first.
    pub(crate) async fn pick(&mut self, count: usize) -> Option<Option<usize>> {
        tokio::select! {
            picked = tokio::task::spawn_blocking(move || question::pick(count)) => Some(picked.unwrap_or(None)),
            _ = self.next() => None,
        }
    }

    /// Asks the user for a line.
    pub(crate) async fn ask(&mut self, question: String) -> Answer {
        tokio::select! {
            line = tokio::task::spawn_blocking(move || ui::ask(&question)) => {
                line.ok().flatten().map_or(Answer::End, Answer::Line)
            }
            _ = self.next() => Answer::Interrupted,
        }
    }

    /// Returns what the future does, or `None` if a signal arrives first.
    pub(crate) async fn unless_interrupted<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            value = future => Some(value),
            _ = self.next() => None,
        }
    }

    /// Returns how lclaude ends because of the last signal, or code 0 if there was none.
    pub(crate) fn exit(&self) -> Exit {
        self.last.map_or(Exit::Code(0), Exit::Signal)
    }
}

/// Returns when another process asks this one, which has no terminal, to end: TERM, INT or HUP.
pub(crate) async fn asked_to_end() {
    let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
    let [Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)] = kinds.map(unix::signal) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
}

/// Something that happens to this process more than once.
pub(crate) struct Repeated(unix::Signal);

impl Repeated {
    /// This process is continued after it was stopped, or another process wakes it in the same way.
    pub(crate) fn continued() -> io::Result<Self> {
        unix::signal(SignalKind::from_raw(Signal::CONT.as_raw())).map(Repeated)
    }

    /// The terminal gets another size.
    pub(crate) fn resized() -> io::Result<Self> {
        unix::signal(SignalKind::window_change()).map(Repeated)
    }

    /// Returns when it happens. May be dropped and called again.
    pub(crate) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
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

/// The signals that a process has sent since [`is_typed`] was called for them: bit N for signal N.
static SENT_BY_PROCESS: AtomicU32 = AtomicU32::new(0);
/// The signals that the terminal has ever sent.
static SENT_BY_TERMINAL: AtomicU32 = AtomicU32::new(0);
/// The handlers of INT (2) and QUIT (3) that [`handle`] calls.
static NEXT: [OnceLock<libc::sigaction>; 4] = [const { OnceLock::new() }; 4];

/// Puts a handler before the installed one that records who sent the signal, because `ctrlc` and tokio don't say.
///
/// The record is complete before the event can arrive. Signals that arrive together are one event, as for every program.
fn record_sender(signal: c_int) -> io::Result<()> {
    // SAFETY: sigaction consists of integers and an optional function, so all zeros is a valid value.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: a null new action changes nothing; the old one is written to a valid place.
    if unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let _ = NEXT[signal as usize].set(action);
    action.sa_flags |= libc::SA_SIGINFO;
    action.sa_sigaction = handle as *const () as usize;
    // SAFETY: the action is valid, and its handler makes only async-signal-safe calls.
    if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Records who sent the signal, and calls the handler that was installed before.
extern "C" fn handle(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the system passes a valid pointer, or null.
    let by_process = unsafe { info.as_ref() }.is_none_or(is_sent_by_process);
    let record = if by_process { &SENT_BY_PROCESS } else { &SENT_BY_TERMINAL };
    record.fetch_or(1 << signal, Ordering::SeqCst);
    let Some(next) = NEXT.get(signal as usize).and_then(OnceLock::get) else {
        return;
    };
    if next.sa_flags & libc::SA_SIGINFO == 0 {
        // SAFETY: without SA_SIGINFO a handler has this type. The signal isn't ignored, and the handler was installed
        // by a library, so it isn't SIG_IGN or SIG_DFL.
        let next: extern "C" fn(c_int) = unsafe { mem::transmute(next.sa_sigaction) };
        next(signal);
    } else {
        // SAFETY: with SA_SIGINFO a handler has this type.
        let next: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = unsafe { mem::transmute(next.sa_sigaction) };
        next(signal, info, context);
    }
}

/// Returns whether the last INT or QUIT was typed at the terminal, and forgets who sent it.
fn is_typed(signal: Signal) -> bool {
    let bit = 1 << signal.as_raw();
    let by_process = SENT_BY_PROCESS.fetch_and(!bit, Ordering::SeqCst) & bit != 0;
    // On macOS a signal that isn't known to come from a process may still do so.
    !by_process && (!cfg!(target_os = "macos") || is_in_foreground())
}

/// Returns whether Ctrl-C was typed at our terminal since the handlers were installed, even if [`Signals::next`] hasn't
/// returned it yet.
pub(crate) fn was_interrupted_from_terminal() -> bool {
    SENT_BY_TERMINAL.load(Ordering::SeqCst) & (1 << libc::SIGINT) != 0
}
