//! The keeper's side of its connections. A connection that sent `hello` is a lease for as long as it is open; one that
//! only sends a request, or nothing yet, keeps nothing running.

use std::{os::fd::AsFd, path::Path, rc::Rc};

use tokio::{io::AsyncWriteExt, time::timeout};

use super::{
    dead_session::{child_file, claim, end_child, lives},
    leases::{Leases, OpenLease, Shared},
    panic,
    progress::Told,
    protocol::{Answer, FromKeeper, Receiver, ToKeeper, encode, send},
    refuse::refusal,
    report::{Glance, Report},
    timeouts::REPLY_TIMEOUT,
};
use crate::base::{
    descriptor,
    error::Failure,
    failpoint,
    process::recorded,
    socket::{Stream, WriteHalf, is_closed},
};

/// Serves the session that started this keeper, which holds a lease even before its `hello`.
pub(crate) fn accept_first(leases: &Leases, receiver: Receiver, write: WriteHalf) {
    let shared = leases.shared.clone();
    let lease = OpenLease::new(shared.clone(), None);
    tokio::task::spawn_local(serve(receiver, write, shared, Ok(lease)));
}

/// Serves a new connection.
pub(crate) fn accept(leases: &Leases, stream: Stream) {
    let refusal = refusal(&stream);
    let (receiver, write) = Receiver::of(stream);
    tokio::task::spawn_local(serve(receiver, write, leases.shared.clone(), Err(refusal)));
}

/// Serves one connection. `lease`: the one that it already holds, or why it gets none.
async fn serve(
    mut receiver: Receiver,
    mut write: WriteHalf,
    shared: Rc<Shared>,
    lease: Result<OpenLease, Option<Failure>>,
) {
    // One that is refused gets no second descriptor.
    let _registered = if let Err(Some(_)) = &lease { None } else { panic::register(write.as_ref()) };
    match timeout(REPLY_TIMEOUT, receiver.next()).await {
        // The session goes on to another keeper, and keeps its private directory.
        Ok(Some(ToKeeper::Hello { .. })) if shared.is_stopping() => {
            let _ = send(&mut write, &FromKeeper::Stopping).await;
        }
        Ok(Some(ToKeeper::Hello { scratch, session, watches })) => {
            if let Err(Some(failure)) = lease {
                let _ = send(&mut write, &FromKeeper::Refused { failure }).await;
                return;
            }
            if let Some(port) = receiver.descriptor() {
                shared.port.replace(Some(port));
                shared.port_received.notify_one();
            }
            let first = lease;
            let lease = OpenLease::new(shared, Some(session));
            drop(first);
            serve_session(&mut receiver, &mut write, &scratch, lease, watches).await;
        }
        Ok(Some(ToKeeper::Status)) => {
            failpoint::reach("status");
            let _ = send(&mut write, &Answer::Status { report: shared.report().into() }).await;
        }
        Ok(Some(ToKeeper::Glance)) => {
            let Report { state, activity, served, .. } = shared.report();
            let glance = Glance { state, activity, context: served.map(|served| served.context) };
            let _ = send(&mut write, &Answer::Glance(glance.into())).await;
        }
        Ok(Some(ToKeeper::Stop { force })) => {
            if !force && !shared.open.borrow().is_empty() {
                let _ = send(&mut write, &Answer::InUse { sessions: shared.sessions() }).await;
                return;
            }
            shared.stop.send_replace(true);
            let _ = send(&mut write, &Answer::Stopping { sessions: shared.sessions() }).await;
            // The client waits for the connection to close, which must not happen before this process exits.
            std::future::pending::<()>().await;
        }
        _ => {}
    }
}

/// Serves one session from its `hello` until it ends or dies.
///
/// `watches`: whether it wants to know what the server is doing.
async fn serve_session(
    receiver: &mut Receiver,
    write: &mut WriteHalf,
    scratch: &Path,
    lease: OpenLease,
    watches: bool,
) {
    tokio::select! {
        () = receive_child(receiver, &lease) => {}
        () = send_states(write, &lease, watches) => {}
    }
    // A session that only releases its lease keeps its connection open until it has an answer.
    let is_closed = is_closed(write.as_ref());
    if is_closed {
        // What the session sent before it died may not have been read yet.
        let _ = timeout(REPLY_TIMEOUT, receive_child(receiver, &lease)).await;
    }
    // A session that left because this keeper is stopping, or didn't answer, goes on with another keeper.
    let goes_on = lease.shared.is_stopping() || (is_closed && lives(scratch).await);
    if !goes_on {
        // It may have been killed before it told of its child.
        let child = lease.info.child.get().or_else(|| recorded(&child_file(scratch)).filter(|_| is_closed));
        let claimed = is_closed.then(|| claim(scratch, &lease.shared.context.runtime));
        if let Some(child) = child {
            end_child(child, lease.held_processes()).await;
        }
        if let Some(claimed) = claimed {
            lease.shared.removals.remove(claimed);
        }
    }
    let last_message = lease.close().await;
    let _ = send(write, &last_message).await;
    if last_message == FromKeeper::Stopping {
        // The session waits for the connection to close, which must not happen before this process exits.
        std::future::pending::<()>().await;
    }
}

/// Records the session's Claude Code and what is stopped; returns when the session closes the connection or dies.
async fn receive_child(receiver: &mut Receiver, lease: &OpenLease) {
    while let Some(message) = receiver.next().await {
        match message {
            ToKeeper::Child { process } => {
                lease.info.child.set(Some(process));
                if let Some(session) = &lease.info.session {
                    lease.shared.context.guard.record_child(session.pid, process);
                }
            }
            ToKeeper::Held { processes } => {
                lease.info.held.replace(Some((lease.shared.context.restarted.get(), processes)));
                lease.shared.held.notify_one();
            }
            ToKeeper::Requested(request) => {
                let is_alone = lease.shared.open.borrow().len() == 1;
                lease.shared.requests.send_replace(Some((*request, is_alone)));
            }
            _ => {}
        }
    }
}

/// Sends every change of state, and the held port with `ready`; returns when the session no longer receives. To a session
/// that `watches`, sends what the server is doing while it is ready.
async fn send_states(write: &mut WriteHalf, lease: &OpenLease, watches: bool) {
    let mut state = lease.shared.state.clone();
    let tracker = &lease.shared.context.activity;
    loop {
        let now = state.borrow_and_update().clone();
        if now == FromKeeper::Queued {
            if state.changed().await.is_err() {
                return;
            }
            continue;
        }
        if matches!(now, FromKeeper::Listening | FromKeeper::Ready(_)) {
            lease.info.own_hold.borrow_mut().release();
        }
        let port = match now {
            FromKeeper::Ready(_) => lease.shared.context.port.borrow().as_ref().and_then(|port| port.try_clone().ok()),
            _ => None,
        };
        let line = encode(&now);
        let sent = match port {
            // If there is no room for it now, the session does without the port.
            Some(port) => descriptor::send(write.as_ref().as_fd(), &line, port.as_fd()).unwrap_or(0),
            None => 0,
        };
        if write.write_all(&line[sent..]).await.is_err() {
            return;
        }
        if now.is_last() {
            lease.info.is_told.set(true);
            lease.shared.told.notify_one();
        }
        let mut last = Told::default();
        loop {
            let activity = async {
                match &now {
                    FromKeeper::Ready(ready) if watches => tracker.next(&mut last, &ready.endpoint).await,
                    _ => std::future::pending().await,
                }
            };
            let activity = tokio::select! {
                biased;
                changed = state.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                activity = activity => activity,
            };
            if send(write, &FromKeeper::Activity(activity)).await.is_err() {
                return;
            }
        }
    }
}
