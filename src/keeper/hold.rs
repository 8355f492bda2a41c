//! The keeper: the process that owns a backend, apart from every session that uses it.
//!
//! It is this same binary, started by the first session that needs a plan. It takes leases, watches the backend, tells
//! every session what happens, and ends backend and itself when the last lease has closed. It knows nothing of Claude
//! Code but the process to end when a session dies.

use super::patience::PATIENCE;
use super::report::About;
use super::start::Start;
use super::{protocol, sweep};
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

use super::files::{Holder, LockFile, PlanFiles, Rouse};
use super::leases::{Leases, Terms};
use super::protocol::FromKeeper;
use super::supervise::Supervisor;
use crate::{
    backend::{BackendPlan, Undo, registry},
    base::{
        error::{Code, Failure},
        paths::unusable,
        process::{self, Ending, Identity},
    },
};

/// Whether a keeper of this plan takes sessions now, so that nothing has to be loaded for another one.
pub fn is_up(runtime: &Path, plan: &BackendPlan) -> bool {
    StdStream::connect(PlanFiles::new(runtime, &plan.id()).socket()).is_ok()
}

/// Runs a keeper. Standard input is a socket to the session that started it.
pub fn run() -> io::Result<()> {
    process::detach()?;
    let starter = take_stdin()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let kept = keep(starter).await;
        // Nothing is dropped before: sessions take the end of their connection for the end of this process.
        std::process::exit(if kept.is_ok() { 0 } else { Code::Unavailable as i32 })
    })
}

/// Moves the socket away from descriptor 0, which from then on is `/dev/null` as a daemon's should be.
fn take_stdin() -> io::Result<StdStream> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::stdio::dup2_stdin(fs::File::open("/dev/null")?)?;
    let socket = StdStream::from(socket);
    socket.set_nonblocking(true)?;
    Ok(socket)
}

async fn keep(starter: StdStream) -> io::Result<()> {
    let mut starter = BufReader::new(UnixStream::from_std(starter)?);
    let mut line = String::new();
    starter.read_line(&mut line).await?;
    let start: Start = serde_json::from_str(&line)?;
    crate::base::trace::start(&start.state);
    let files = PlanFiles::new(&start.runtime, &start.plan.id());
    tracing::info!(pid = std::process::id(), plan = start.plan.id(), kind = %start.plan.kind, "keeper started");

    let opened = async {
        // Held until this process ends, and with it the promise that no second backend of this plan is in memory.
        let Some(lock) = own(&files).await? else {
            return Ok(None);
        };
        Ok(Some((lock, listen(&files)?)))
    };
    match opened.await {
        Ok(Some((lock, listener))) => hold(start, &files, starter, lock, listener).await,
        // There is one already, after all: the session is to try again.
        Ok(None) => protocol::send(&mut starter, &FromKeeper::Stopping).await,
        Err(error) => {
            let failure = unusable(&start.runtime, error);
            protocol::send(&mut starter, &FromKeeper::Failed { failure }).await
        }
    }
}

fn listen(files: &PlanFiles) -> io::Result<UnixListener> {
    let _ = fs::remove_file(files.socket());
    UnixListener::bind(files.socket())
}

/// Holds the backend while anyone has a lease on it.
async fn hold(
    start: Start,
    files: &PlanFiles,
    starter: BufReader<UnixStream>,
    mut lock: LockFile,
    listener: UnixListener,
) -> io::Result<()> {
    // What a keeper of this plan left that was killed.
    let left = lock.holder();
    if let Some(backend) = left.as_ref().and_then(|left| left.backend) {
        backend.end(Ending::Kill).await;
    }
    let keeper = Identity::of_self().ok_or(io::ErrorKind::NotFound)?;
    // Still to be undone; not now, since it would have to be done again at once.
    let undo = left.map(|left| left.undo).unwrap_or_default();
    let about = About::keeper(&start);
    let mut holder =
        Holder { keeper, about: about.clone(), backend: None, undo: undo.clone(), ending: false, abandons: false };
    lock.write_holder(&holder);
    let lock = RefCell::new((lock, &mut holder));

    let (state, seen) = watch::channel(FromKeeper::Starting);
    let linger = start.lifetime.linger;
    let restarted = Rc::new(Cell::new(0));
    let terms = Terms { about, runtime: start.runtime.clone(), linger, restarted: restarted.clone() };
    let leases = Leases::new(seen, terms);
    leases.take_first(starter);
    let sweep = {
        let (runtime, log) = (start.runtime.clone(), start.log.clone());
        async move { sweep::sweep(&runtime, log.parent()).await }
    };
    let kind = registry::backend(start.plan.kind);
    let runtime = start.runtime.clone();
    let mut supervisor = Supervisor::new(start, undo, restarted);
    let started = |backend, undo: &[Undo]| {
        let (lock, holder) = &mut *lock.borrow_mut();
        (holder.backend, holder.undo) = (backend, undo.to_vec());
        lock.write_holder(holder);
    };
    // Let go of only when all is undone.
    let mut alone = None;
    let kept = async {
        if let Some(name) = kind.exclusive_lock() {
            // It may still be as a killed keeper left it, which is not how the user had it.
            sweep.await;
            match lock_exclusively(&runtime, name, kind.title()) {
                Ok(lock) => alone = Some(lock),
                Err(failure) => return failure,
            }
        } else {
            tokio::task::spawn_local(sweep);
        }
        supervisor.keep_up(&state, started).await
    };
    let failure = tokio::select! {
        failure = kept => Some(failure),
        () = leases.all_closed(linger) => None,
        () = told_to_end() => None,
        failure = leases.stopped() => failure,
        _ = accept(listener, files, &leases) => None,
    };
    tracing::info!(pid = std::process::id(), failure = failure.as_ref().map(|failure| &*failure.what), "keeper ends");
    let (mut lock, _) = lock.into_inner();
    holder.ending = true;
    holder.abandons = failure.is_none() && leases.are_open();
    lock.write_holder(&holder);
    end(failure, files, &state, &leases, &mut supervisor).await;
    // Nothing is left for another keeper to tidy up.
    lock.write_holder(&holder.tidy());
    drop(alone);
    Ok(())
}

/// Ends the backend, and tells every session.
async fn end(
    failure: Option<Failure>,
    files: &PlanFiles,
    state: &watch::Sender<FromKeeper>,
    leases: &Leases,
    supervisor: &mut Supervisor,
) {
    // First of all, so that a session that comes now starts a keeper of its own.
    let _ = fs::remove_file(files.socket());
    match failure {
        Some(failure) => {
            state.send_replace(FromKeeper::Failed { failure });
            let heard = timeout(PATIENCE, leases.all_closed(Duration::ZERO));
            let _ = tokio::join!(heard, supervisor.end());
        }
        None => {
            state.send_replace(FromKeeper::Stopping);
            supervisor.end().await;
            files.forget_log();
        }
    }
}

/// Lets sessions in, for ever.
async fn accept(mut listener: UnixListener, files: &PlanFiles, leases: &Leases) -> io::Result<()> {
    let mut woken = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => leases.take(BufReader::new(stream)),
                // Out of descriptors, say: others may close some meanwhile.
                Err(_) => sleep(Duration::from_millis(50)).await,
            },
            // By a session that finds no socket: someone has tidied up the directory.
            _ = woken.recv() => {
                if !files.socket().exists()
                    && let Ok(anew) = listen(files)
                {
                    listener = anew;
                }
            }
        }
    }
}

/// Takes the lock of a program that only one keeper at a time may set up.
fn lock_exclusively(runtime: &Path, name: &str, title: &str) -> Result<LockFile, Failure> {
    let lock = LockFile::open(&runtime.join(name)).map_err(|error| unusable(runtime, error))?;
    match lock.try_lock() {
        Ok(true) => Ok(lock),
        _ => Err(Failure::new(Code::Unavailable, format!("{title} is in use by another lclaude"))
            .why(format!("it has asked for another model or context, and there is one {title} to set up"))
            .help("use the same model and context as the other session, or end that first")),
    }
}

/// Waits until the keeper before us has gone. `None` if it turns out to be alive and well.
async fn own(files: &PlanFiles) -> io::Result<Option<LockFile>> {
    let lock = LockFile::open(&files.lock())?;
    if lock.try_lock()? {
        return Ok(Some(lock));
    }
    let mut waiting = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock));
    for rouse in [Rouse::Wake, Rouse::Kill] {
        if let Ok(owned) = timeout(files.patience(rouse), &mut waiting).await {
            return owned?.map(Some);
        }
        if rouse == Rouse::Kill && UnixStream::connect(files.socket()).await.is_ok() {
            return Ok(None);
        }
        files.rouse(rouse).await;
    }
    waiting.await?.map(Some)
}

/// TERM or INT, sent to the keeper itself.
async fn told_to_end() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
