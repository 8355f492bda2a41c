//! Watches a running child: forwards signals to it, stops it while another user could take the backend's port, and ends
//! it if the backend fails.

use std::{future::pending, os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use rustix::process::Signal;
use tokio::{process, time::timeout};

use super::{hold::ChildHold, reading::ReadingLine, warmth::Warmth};
use crate::{
    backend::MissingModel,
    base::{
        error::{Code, Failure, Result},
        exit::Exit,
        failpoint,
        process::Identity,
        signals::{Received, Signals, was_interrupted_from_terminal},
    },
    keeper::{Event, FirstRequest, Lease},
};

/// How long the child may take to exit after its backend failed.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// How the child exited, and how often its backend was restarted before that.
pub(super) struct Ended {
    pub status: ExitStatus,
    pub crashes: u32,
}

/// Waits for the child, forwards signals to it, and ends it if its backend fails.
///
/// If the backend is lent its port, no prompt may leave while it is down, since another user's program could take `port`:
/// the child is stopped until the backend's own program listens there again.
pub(super) async fn watch(
    child: &mut process::Child,
    name: &str,
    lease: &mut Lease,
    warmth: &mut Option<Warmth>,
    port: u16,
    reading: &mut ReadingLine,
    signals: &mut Signals,
) -> Result<Ended> {
    let identity = child.id().and_then(Identity::of);
    failpoint::reach("child-spawned");
    if let Some(identity) = identity {
        lease.guard(identity);
    }
    let mut hold = ChildHold::new(identity, port);
    let mut crashes = 0;
    loop {
        let mut first_request = None;
        // A renewal of the lease isn't interrupted for it.
        let may_report = lease.is_connected();
        let event = {
            // Kept across signals, because dropping it could cancel a renewal of the lease.
            let mut event = std::pin::pin!(lease.event());
            loop {
                tokio::select! {
                    status = child.wait() => {
                        reading.clear();
                        let failed = |error| {
                            let what = format!("cannot wait for {name}");
                            Failure::new(Code::Bug, what).cause(error).help("report this as a bug")
                        };
                        return Ok(Ended { status: status.map_err(failed)?, crashes });
                    }
                    received = signals.next() => {
                        reading.clear();
                        if hold.is_active() {
                            let signal = received.signal;
                            // It handles the signal only when it continues, and may then go on.
                            let status = end(child, identity, &mut hold, signal).await;
                            let status = status.unwrap_or(ExitStatus::from_raw(signal.as_raw()));
                            return Ok(Ended { status, crashes });
                        }
                        forward(received, identity);
                    }
                    () = hold.continued() => hold.stop().await,
                    request = requested(warmth), if may_report => {
                        first_request = Some(request);
                        break None;
                    }
                    event = &mut event => break Some(event),
                }
            }
        };
        if let Some(request) = first_request {
            lease.requested(request);
        }
        let Some(event) = event else { continue };
        match &event {
            Event::Activity(activity) => reading.update(activity),
            _ => reading.clear(),
        }
        crashes += u32::from(matches!(event, Event::Restarting { .. }));
        match event {
            Event::Failed { failure } | Event::ModelMissing(MissingModel { failure, .. }) => {
                end(child, identity, &mut hold, Signal::TERM).await;
                return Err(failure);
            }
            Event::Ready(_) | Event::Listening => hold.release(),
            Event::Restarting { .. } | Event::Starting if lease.holds_child() => {
                hold.stop().await;
                lease.held(hold.processes());
            }
            _ => {}
        }
    }
}

/// Returns the session's first request, if one is waited for.
async fn requested(warmth: &mut Option<Warmth>) -> FirstRequest {
    match warmth {
        Some(warmth) => warmth.first_request().await,
        None => pending().await,
    }
}

/// Forwards a signal to the child, unless the terminal already sent it there.
pub(crate) fn forward(received: Received, child: Option<Identity>) {
    if let Some(child) = child.filter(|_| !received.is_typed) {
        child.signal(received.signal);
    }
}

/// Ends the child by `signal`. Returns its status, or `None` if it was killed.
async fn end(
    child: &mut process::Child,
    identity: Option<Identity>,
    hold: &mut ChildHold,
    signal: Signal,
) -> Option<ExitStatus> {
    if !hold.kill_if_port_is_taken()
        && let Some(identity) = identity
    {
        identity.signal(signal);
        hold.release();
        // A suspended child doesn't see the signal before it continues.
        identity.signal(Signal::CONT);
    }
    match timeout(EXIT_TIMEOUT, child.wait()).await {
        Ok(status) => status.ok().filter(|status| status.signal() != Some(Signal::KILL.as_raw())),
        Err(_) => {
            let _ = child.start_kill();
            // One that is stuck in the kernel dies only when its system call returns.
            let _ = timeout(EXIT_TIMEOUT, child.wait()).await;
            None
        }
    }
}

/// Returns how lclaude ends after a child with this status.
///
/// A child that handled Ctrl-C and exited with 130 counts as ended by it, since shells end a loop only if the command in
/// it was.
pub(super) fn exit(status: ExitStatus) -> Exit {
    match Exit::of(status) {
        Exit::Code(code) if i32::from(code) == 128 + libc::SIGINT && was_interrupted_from_terminal() => {
            Exit::Signal(Signal::INT)
        }
        exit => exit,
    }
}
