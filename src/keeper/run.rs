//! The main loop of a keeper process.
//!
//! A keeper is this same binary, started by the first session that needs a backend plan. It accepts leases, runs the
//! backend, reports every change of state, and stops the backend and itself when the last lease closes.

use std::{
    cell::{Cell, RefCell},
    fs, io,
    os::unix::net::UnixStream as StdStream,
    path::Path,
    rc::Rc,
    time::Duration,
};

use rustix::process::Signal;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{UnixListener, UnixStream},
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::LocalSet,
    time::{sleep, timeout},
};

use super::{
    down::Down,
    files::{Escalation, Holder, LockFile, PlanFiles},
    leases::{KeeperContext, Leases},
    protocol::{self, FromKeeper},
    report::KeeperInfo,
    start::StartRequest,
    supervise::Supervisor,
    sweep,
    timeouts::REPLY_TIMEOUT,
};
use crate::{
    backend::{BackendPlan, Undo, registry},
    base::{
        descriptor,
        error::{Code, Failure},
        paths::runtime_unusable,
        port::ReservedPort,
        process::{self, Ending, Identity},
    },
};

/// Returns whether a keeper of this plan accepts sessions, so that another session loads nothing.
pub(crate) fn is_up(runtime: &Path, plan: &BackendPlan) -> bool {
    StdStream::connect(PlanFiles::new(runtime, &plan.id()).socket()).is_ok()
}

/// Runs a keeper. Standard input is a socket to the session that started it.
pub(crate) fn run() -> io::Result<()> {
    process::detach()?;
    let (starter, port) = take_stdin()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let result = run_keeper(starter, port).await;
        // Exit without dropping anything: a closed connection tells sessions that this process is gone.
        std::process::exit(if result.is_ok() { 0 } else { Code::Unavailable as i32 })
    })
}

/// Moves the socket away from descriptor 0 and replaces that with `/dev/null`, as daemons do. Returns the port of a lost
/// keeper too, if the session has it, which comes with the first byte.
fn take_stdin() -> io::Result<(StdStream, Option<ReservedPort>)> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::stdio::dup2_stdin(fs::File::open("/dev/null")?)?;
    let socket = StdStream::from(socket);
    let (_, port) = descriptor::receive(&socket, &mut [0])?;
    socket.set_nonblocking(true)?;
    Ok((socket, port.and_then(|port| ReservedPort::adopt(port).ok())))
}

async fn run_keeper(starter: StdStream, port: Option<ReservedPort>) -> io::Result<()> {
    let mut starter = BufReader::new(UnixStream::from_std(starter)?);
    let mut line = String::new();
    starter.read_line(&mut line).await?;
    let start: StartRequest = serde_json::from_str(&line)?;
    crate::base::trace::start(&start.state);
    let files = PlanFiles::new(&start.runtime, &start.plan.id());
    tracing::info!(pid = std::process::id(), plan = start.plan.id(), kind = %start.plan.kind, "keeper started");

    let opened = async {
        // Held until this process exits, so that no second backend of this plan is in memory.
        let Some(lock) = acquire_lock(&files).await? else {
            return Ok(None);
        };
        Ok(Some((lock, listen(&files)?)))
    };
    match opened.await {
        Ok(Some((lock, listener))) => hold_backend(start, port, &files, starter, lock, listener).await,
        // Another keeper runs already; the session then tries again.
        Ok(None) => protocol::send(&mut starter, &FromKeeper::Stopping).await,
        Err(error) => {
            let failure = runtime_unusable(&start.runtime, error);
            protocol::send(&mut starter, &FromKeeper::Failed { failure }).await
        }
    }
}

fn listen(files: &PlanFiles) -> io::Result<UnixListener> {
    let _ = fs::remove_file(files.socket());
    UnixListener::bind(files.socket())
}

/// Runs the backend while anyone has a lease on it.
async fn hold_backend(
    start: StartRequest,
    port: Option<ReservedPort>,
    files: &PlanFiles,
    starter: BufReader<UnixStream>,
    mut lock: LockFile,
    listener: UnixListener,
) -> io::Result<()> {
    // A killed keeper of this plan may have left its backend running.
    let left = lock.holder();
    if let Some(backend) = left.as_ref().and_then(|left| left.backend) {
        backend.end(Ending::Kill).await;
    }
    let keeper = Identity::of_self().ok_or(io::ErrorKind::NotFound)?;
    // Undone at the end rather than now, since the same changes are about to be needed again.
    let undo = left.map(|left| left.undo).unwrap_or_default();
    let about = KeeperInfo::of_keeper(&start);
    let mut holder =
        Holder { keeper, about: about.clone(), backend: None, undo: undo.clone(), ending: false, abandons: false };
    lock.write_holder(&holder);
    let lock = RefCell::new((lock, &mut holder));

    let (state, seen) = watch::channel(FromKeeper::Starting);
    let linger = start.lifetime.linger;
    let restarted = Rc::new(Cell::new(0));
    let port_descriptor = Rc::default();
    let context = KeeperContext {
        about,
        runtime: start.runtime.clone(),
        linger,
        restarted: restarted.clone(),
        port: Rc::clone(&port_descriptor),
    };
    let leases = Leases::new(seen, context);
    leases.accept_first(starter);
    let sweep = {
        let (runtime, log) = (start.runtime.clone(), start.log.clone());
        async move { sweep::sweep(&runtime, log.parent()).await }
    };
    let kind = registry::backend(start.plan.kind);
    let runtime = start.runtime.clone();
    let mut supervisor = Supervisor::new(start, undo, port, restarted, port_descriptor);
    let on_change = |backend, undo: &[Undo]| {
        let (lock, holder) = &mut *lock.borrow_mut();
        (holder.backend, holder.undo) = (backend, undo.to_vec());
        lock.write_holder(holder);
    };
    // Released only when every change is undone.
    let mut exclusive_lock = None;
    let down = async {
        if let Some(name) = kind.exclusive_lock() {
            // First restore what a killed keeper changed, so that the user's own state is recorded below.
            sweep.await;
            match lock_exclusively(&runtime, name, kind.title()) {
                Ok(lock) => exclusive_lock = Some(lock),
                Err(failure) => return Down::Failed(failure),
            }
        } else {
            tokio::task::spawn_local(sweep);
        }
        supervisor.keep_running(&state, on_change, async || leases.wait_until_held().await).await
    };
    let down = tokio::select! {
        down = down => Some(down),
        () = leases.wait_until_closed(linger) => None,
        () = wait_for_signal() => None,
        failure = leases.wait_for_stop() => failure.map(Down::Failed),
        _ = accept(listener, files, &leases) => None,
    };
    tracing::info!(pid = std::process::id(), failure = down.as_ref().map(Down::what), "keeper exiting");
    let (mut lock, _) = lock.into_inner();
    holder.ending = true;
    holder.abandons = down.is_none() && leases.has_open();
    lock.write_holder(&holder);
    shut_down(down, files, &state, &leases, &mut supervisor).await;
    lock.write_holder(&holder.cleaned_up());
    drop(exclusive_lock);
    Ok(())
}

/// Stops the backend and notifies every session.
async fn shut_down(
    down: Option<Down>,
    files: &PlanFiles,
    state: &watch::Sender<FromKeeper>,
    leases: &Leases,
    supervisor: &mut Supervisor,
) {
    // First, so that a session that comes now starts a new keeper.
    let _ = fs::remove_file(files.socket());
    match down {
        Some(down) => {
            state.send_replace(match down {
                Down::Failed(failure) => FromKeeper::Failed { failure },
                Down::ModelMissing(missing) => FromKeeper::ModelMissing(missing),
            });
            let notified = timeout(REPLY_TIMEOUT, leases.wait_until_closed(Duration::ZERO));
            let _ = tokio::join!(notified, supervisor.end());
        }
        None => {
            state.send_replace(FromKeeper::Stopping);
            supervisor.end().await;
            files.remove_log();
        }
    }
}

/// Accepts sessions; never returns unless the signal handler can't be installed.
async fn accept(mut listener: UnixListener, files: &PlanFiles, leases: &Leases) -> io::Result<()> {
    let mut woken = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => leases.accept(BufReader::new(stream)),
                // For example out of file descriptors, which others may free.
                Err(_) => sleep(Duration::from_millis(50)).await,
            },
            // A session sends SIGCONT if it finds no socket, because the runtime directory was cleaned.
            _ = woken.recv() => {
                if !files.socket().exists()
                    && let Ok(recreated) = listen(files)
                {
                    listener = recreated;
                }
            }
        }
    }
}

/// Locks a program that only one keeper at a time may set up: two that change it could not both restore it.
fn lock_exclusively(runtime: &Path, name: &str, title: &str) -> Result<LockFile, Failure> {
    let lock = LockFile::open(&runtime.join(name)).map_err(|error| runtime_unusable(runtime, error))?;
    match lock.try_lock() {
        Ok(true) => Ok(lock),
        _ => Err(Failure::new(Code::Unavailable, format!("{title} is in use by another lclaude session"))
            .cause(format!("that session uses a different model or context, and {title} is set up for one at a time"))
            .help("use the same model and context, or stop the other session: lclaude local stop")),
    }
}

/// Takes the plan's lock once the previous keeper is gone. Returns `None` if that keeper still accepts sessions.
async fn acquire_lock(files: &PlanFiles) -> io::Result<Option<LockFile>> {
    let lock = LockFile::open(&files.lock())?;
    if lock.try_lock()? {
        return Ok(Some(lock));
    }
    let mut waiting = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock));
    for step in [Escalation::Wake, Escalation::Kill] {
        if let Ok(locked) = timeout(files.timeout_before(step), &mut waiting).await {
            return locked?.map(Some);
        }
        if step == Escalation::Kill && UnixStream::connect(files.socket()).await.is_ok() {
            return Ok(None);
        }
        files.escalate(step).await;
    }
    waiting.await?.map(Some)
}

/// Returns when the keeper receives SIGTERM or SIGINT.
async fn wait_for_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
