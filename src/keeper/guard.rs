//! A keeper's guard: its parent process, which does nothing until the keeper has ended. If that was killed, the guard ends
//! what it ran, and if its sessions were killed too, also removes what they left.
//!
//! The guard is a copy of the keeper, made before that has started a thread or opened a file, so it costs little. On Linux
//! it adopts the processes of a killed keeper; on macOS it ends the group in the keeper's record. Killing the guard alone
//! changes nothing.

use std::{
    io::{self, BufRead, BufReader, Cursor, Read, Write},
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::exit,
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitStatus};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{dead_session::end_child, files::PlanFiles, lock::LockFile, record::Record, start::StartRequest, sweep};
use crate::{
    backend::Service,
    base::{
        descriptor,
        process::{self, Identity},
        socket::BlockingStream,
    },
};

/// How long sessions that were killed together with the keeper may take to end. The sessions that are left after that
/// start a new keeper.
const SESSIONS_TIMEOUT: Duration = Duration::from_millis(500);
/// How long they may take before it is known which Claude Code has lost its session.
const DEATH_TIMEOUT: Duration = Duration::from_millis(50);
/// The longest request in bytes: a path and a few names.
const MAX_REQUEST: usize = 8 * 1024;
/// How much is read of the list of children, in bytes. A socket holds less.
const MAX_CHILDREN: u64 = 4 * 1024 * 1024;

/// What the guard of a killed keeper cleans up.
#[derive(Serialize, Deserialize)]
struct Request {
    runtime: PathBuf,
    id: String,
    /// Whether the keeper's descendants are its backend's, so that all of them must end.
    adopts: bool,
}

/// A session and its Claude Code.
#[derive(Serialize, Deserialize)]
struct SessionChild {
    session: Identity,
    child: Identity,
}

/// The keeper's connection to its guard.
pub(crate) struct Guard {
    /// `None` if there is no guard, because this user or container has reached its process limit.
    connection: Option<(BlockingStream, Identity)>,
}

impl Guard {
    /// Splits this process in two, and returns in the child, which is the keeper. The parent is its guard, and exits when the
    /// keeper has ended. Call it before anything starts a thread.
    pub(crate) fn start() -> Self {
        Guard { connection: split().ok() }
    }

    /// Returns the guard's process.
    pub(crate) fn process(&self) -> Option<Identity> {
        self.connection.as_ref().map(|(_, process)| *process)
    }

    /// Tells the guard what to clean up if this process is killed. From now on the guard holds `lock` too, so that no other
    /// keeper starts the plan's backend before it is done.
    pub(crate) fn watch(&self, start: &StartRequest, lock: &LockFile) {
        let Some((connection, _)) = &self.connection else { return };
        let adopts = matches!(start.plan.service, Service::Program(_));
        let request = Request { runtime: start.runtime.clone(), id: start.plan.id(), adopts };
        let mut line = serde_json::to_vec(&request).expect("plain data");
        line.push(b'\n');
        // The guard reads what follows only when this process has ended.
        let sent = descriptor::send(connection, &line, lock.as_fd()).and_then(|_| connection.set_nonblocking(true));
        if let Err(error) = sent {
            // It was killed; the keeper can do without.
            tracing::warn!(%error, "the guard is gone");
        }
    }

    /// Tells the guard which process to end if this process and the session with PID `session` are killed.
    pub(crate) fn record_child(&self, session: u32, child: Identity) {
        if let (Some((connection, _)), Some(session)) = (&self.connection, Identity::of(session)) {
            let mut line = serde_json::to_vec(&SessionChild { session, child }).expect("plain data");
            line.push(b'\n');
            // If there is no room for more, the system's own signal has to do.
            let _ = (&*connection).write(&line);
        }
    }
}

fn split() -> io::Result<(BlockingStream, Identity)> {
    let guard = Identity::of_self().ok_or(io::ErrorKind::NotFound)?;
    let (ours, theirs) = BlockingStream::pair()?;
    // SAFETY: this process hasn't started a thread.
    match unsafe { process::fork() }? {
        Some(keeper) => guard_keeper(keeper, &theirs),
        None => {
            // So that a signal for the guard's group doesn't reach the keeper.
            rustix::process::setsid()?;
            Ok((ours, guard))
        }
    }
}

/// Waits for the end of the keeper and cleans up after it if necessary.
fn guard_keeper(keeper: Pid, connection: &BlockingStream) -> ! {
    // SAFETY: this function never returns, so the values that own them are never used or dropped. An open connection to a
    // session would hide that the keeper has ended.
    unsafe { process::close_all_but(connection.as_fd()) };
    // Whoever ends all processes named lclaude ends the keeper and the sessions, and then this one ends too.
    process::ignore_requests_to_end();
    let request = receive(connection);
    if request.as_ref().is_some_and(|(request, ..)| request.adopts) {
        process::adopt_orphans();
    }
    let code = wait_for(keeper);
    if code != 0
        && let Some((request, lock, rest)) = request
        && let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build()
    {
        runtime.block_on(clean_up(request, lock, &children(rest.chain(connection))));
        // A thread may still be waiting for a lock.
        runtime.shutdown_background();
    }
    exit(code)
}

/// Waits for the end of the keeper, and returns its exit code, or 128+N if signal N ended it.
fn wait_for(keeper: Pid) -> i32 {
    let status = process::wait_for_child(keeper);
    let code = |status: WaitStatus| status.exit_status().or_else(|| Some(128 + status.terminating_signal()?));
    status.and_then(code).unwrap_or(128 + Signal::KILL.as_raw())
}

/// Returns what to clean up, the plan's lock, and what else was read, or `None` if the keeper ended before it ran anything.
fn receive(connection: &BlockingStream) -> Option<(Request, OwnedFd, Cursor<Vec<u8>>)> {
    let mut read = vec![0; MAX_REQUEST];
    let (length, lock) = descriptor::receive(connection, &mut read).ok()?;
    read.truncate(length);
    let end = read.iter().position(|byte| *byte == b'\n')?;
    let request = serde_json::from_slice(&read[..end]).ok()?;
    let mut rest = Cursor::new(read);
    rest.set_position(end as u64 + 1);
    Some((request, lock?, rest))
}

/// Returns what the keeper recorded with [`Guard::record_child`].
fn children(read: impl Read) -> Vec<SessionChild> {
    let lines = BufReader::new(read.take(MAX_CHILDREN)).lines().map_while(io::Result::ok);
    lines.filter_map(|line| serde_json::from_str(&line).ok()).collect()
}

/// Ends each Claude Code whose session is dead, or is dead within `limit`. One that its session has stopped wouldn't notice
/// otherwise.
async fn end_children(children: &[SessionChild], limit: Duration) {
    let ended = async {
        for SessionChild { session, .. } in children {
            session.ended().await;
        }
    };
    let _ = timeout(limit, ended).await;
    for SessionChild { child, .. } in children.iter().filter(|it| !it.session.is_alive() && it.child.is_alive()) {
        end_child(*child, process::suspended_tree(*child)).await;
    }
}

/// Ends what the keeper ran. If no session is left that starts another keeper, also does what the next lclaude would do.
async fn clean_up(request: Request, lock: OwnedFd, children: &[SessionChild]) {
    let files = PlanFiles::new(&request.runtime, &request.id);
    if request.adopts {
        process::kill_adopted().await;
    }
    // Another keeper may have the lock already: this one releases it before its last removals, and locks a new file if that
    // is deleted.
    let record = Record::read(&files).filter(|record| record.guard == Identity::of_self());
    if let Some(backend) = record.and_then(|record| record.backend) {
        backend.kill().await;
    }
    // A new keeper can start now. It waits for this process when it ends.
    drop(lock);
    end_children(children, DEATH_TIMEOUT).await;
    if wait_until_unused(&files).await {
        end_children(children, Duration::ZERO).await;
        sweep::clean_up(&files).await;
        sweep::remove_old_files(vec![request.runtime], None).await;
    }
}

/// Waits until no session uses the plan, for a moment. Returns whether none does.
async fn wait_until_unused(files: &PlanFiles) -> bool {
    match LockFile::open_existing(&files.lease()) {
        Ok(lease) => {
            let locked = tokio::task::spawn_blocking(move || lease.lock());
            matches!(timeout(SESSIONS_TIMEOUT, locked).await, Ok(Ok(Ok(()))))
        }
        // No session has ever locked it.
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}
