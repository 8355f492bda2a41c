//! The main loop of a keeper process.
//!
//! A keeper is this same binary, started by the first session that needs a backend plan. It accepts leases, runs the
//! backend, reports every change of state, and stops the backend and itself when the last lease closes.

use std::{
    cell::RefCell,
    fs, io,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use tokio::{task::LocalSet, time::sleep};

use super::{
    down::Down,
    files::PlanFiles,
    guard::Guard,
    leases::{KeeperContext, Leases},
    lock::LockFile,
    panic,
    progress::ActivityTracker,
    protocol::{FromKeeper, Receiver},
    record::{Record, Recorder},
    report::KeeperInfo,
    restore::{Restorer, listen},
    serve,
    start::StartRequest,
    state::KeeperState,
    supervise::Supervisor,
    sweep,
    takeover::{Takeover, take_over},
};
use crate::{
    backend::{BackendPlan, registry},
    base::{
        error::{Code, Failure},
        failpoint, limits,
        paths::runtime_unusable,
        process,
        signals::{Repeated, asked_to_end},
        socket::{self, BlockingStream, Listener},
        wait::explained,
    },
};

/// Returns the socket of the plan's keeper, or `None` if it has none, because somebody else runs the server.
pub(crate) fn socket(runtime: &Path, plan: &BackendPlan, is_external: bool) -> Option<PathBuf> {
    let has_keeper = registry::backend(plan.kind).needs_keeper() || !is_external;
    has_keeper.then(|| PlanFiles::new(runtime, &plan.id()).socket())
}

/// Returns the runtime directory in which a keeper of this plan is, or the preferred one, the first. A second keeper
/// elsewhere would load the model again.
pub(crate) fn place(places: &[PathBuf], plan: &BackendPlan) -> PathBuf {
    let id = plan.id();
    let others = places.get(1..).unwrap_or_default();
    let held = others.iter().find(|place| PlanFiles::new(place, &id).has_keeper());
    match held {
        // Most users have one place, for which nothing is opened.
        Some(held) if !PlanFiles::new(&places[0], &id).has_keeper() => held.clone(),
        _ => places.first().cloned().unwrap_or_default(),
    }
}

/// Returns whether a keeper of this plan is there and stays, so that another session loads nothing. Doesn't wake it.
pub(crate) fn is_up(runtime: &Path, plan: &BackendPlan) -> bool {
    let files = PlanFiles::new(runtime, &plan.id());
    files.has_keeper() && Record::read(&files).is_none_or(|record| !record.ending)
}

/// Runs a keeper. Standard input is a socket to the session that started it.
pub(crate) fn run() -> io::Result<()> {
    process::detach()?;
    panic::install();
    limits::raise_files();
    let starter = socket::take_stdin()?;
    let guard = Guard::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let result = run_keeper(starter, guard).await;
        // Exit without dropping anything: a closed connection tells sessions that this process is gone.
        std::process::exit(if result.is_ok() { 0 } else { Code::Unavailable as i32 })
    })
}

async fn run_keeper(starter: BlockingStream, guard: Guard) -> io::Result<()> {
    let (mut receiver, write) = Receiver::of(socket::into_async(starter)?);
    let registered = panic::register(write.as_ref());
    let start: StartRequest = receiver.next().await.ok_or(io::ErrorKind::UnexpectedEof)?;
    crate::base::trace::start(&start.state);
    panic::set_log(&start.log);
    let files = PlanFiles::new(&start.runtime, &start.plan.id());
    tracing::info!(pid = std::process::id(), plan = start.plan.id(), kind = %start.plan.kind, "keeper started");
    failpoint::reach("keeper-started");
    let (state, seen) = KeeperState::new();
    let context = KeeperContext {
        about: KeeperInfo::of_keeper(&start),
        runtime: start.runtime.clone(),
        linger: start.lifetime.linger,
        restarted: Rc::default(),
        port: Rc::default(),
        activity: ActivityTracker::new(start.plan.kind, start.plan.models.len()).into(),
        guard: guard.into(),
    };
    let leases = Leases::new(seen, context.clone());
    serve::accept_first(&leases, receiver, write);
    drop(registered);
    let taken = tokio::select! {
        taken = take_over(&files, &state) => taken,
        // The session has ended.
        () = leases.wait_until_closed(Duration::ZERO) => return Ok(()),
        () = asked_to_end() => return dismiss(FromKeeper::Stopping, &state, &leases).await,
    };
    let opened = match taken {
        Ok(Takeover::Lock(lock)) => {
            failpoint::reach("keeper-locked");
            context.guard.watch(&start, &lock);
            listen(&files).map(|listener| (lock, listener))
        }
        Ok(Takeover::Elsewhere) => return dismiss(FromKeeper::Stopping, &state, &leases).await,
        Ok(Takeover::Failed(failure)) => return dismiss(FromKeeper::Failed { failure }, &state, &leases).await,
        Err(error) => Err(error),
    };
    match opened {
        Ok((lock, listener)) => {
            // Replaced if the file is deleted.
            let lock = RefCell::new(lock);
            hold_backend(start, &files, &lock, context, &state, &leases, listener).await;
            // A new keeper needn't wait for the removals.
            lock.borrow().unlock();
            leases.removals().finish().await;
            Ok(())
        }
        Err(error) => {
            let failure = runtime_unusable(&start.runtime, error);
            dismiss(FromKeeper::Failed { failure }, &state, &leases).await
        }
    }
}

/// Sends the session away, without having run anything.
async fn dismiss(last: FromKeeper, state: &KeeperState, leases: &Leases) -> io::Result<()> {
    state.set(last);
    leases.wait_until_told().await;
    Ok(())
}

/// Runs the backend while anyone has a lease on it.
async fn hold_backend(
    mut start: StartRequest,
    files: &PlanFiles,
    lock: &RefCell<LockFile>,
    context: KeeperContext,
    state: &KeeperState,
    leases: &Leases,
    listener: Listener,
) {
    let left = Record::read(files);
    let taken = take_record(&mut start, files, left.as_ref(), &context);
    let record = explained(taken, || {
        state.set(FromKeeper::Waiting { reason: "waiting for the backend of a killed keeper to end".into() });
    });
    let recorder = Recorder::new(files.clone(), record.await);
    // Before anything runs that a successor would have to end.
    recorder.change(|_| {}).await;
    state.set(FromKeeper::Starting);
    let linger = start.lifetime.linger;
    let places = start.places.clone();
    leases.removals().start(sweep::remove_old_files(places.clone(), start.log.parent().map(Path::to_owned)));
    let sweep = sweep::clean_up_all(places.clone());
    let kind = registry::backend(start.plan.kind);
    let mut supervisor = Supervisor::new(start, &recorder, &context, leases);
    let restorer = Restorer::new(&context.runtime, files, &recorder, lock);
    // Released only when every change is undone.
    let mut exclusive_lock = None;
    let down = async {
        if let Some(name) = kind.exclusive_lock() {
            // First restore what a killed keeper changed, so that the user's own state is recorded below.
            sweep.await;
            match lock_exclusively(&places, name, kind.title()) {
                Ok(lock) => exclusive_lock = Some(lock),
                Err(failure) => return Down::Failed(failure),
            }
        } else {
            tokio::task::spawn_local(sweep);
        }
        supervisor.keep_running(state, leases).await
    };
    let down = tokio::select! {
        down = down => Some(down),
        () = leases.wait_until_closed(linger) => None,
        () = asked_to_end() => None,
        failure = leases.wait_for_stop() => failure.map(Down::Failed),
        _ = accept(listener, restorer, leases) => None,
    };
    tracing::info!(pid = std::process::id(), failure = down.as_ref().map(Down::what), "keeper exiting");
    // Sessions that go on to another keeper use the same port and key. They may not have come to this one yet.
    let is_normal = down.is_none();
    let abandons = is_normal && !files.is_unused();
    failpoint::reach("keeper-ending");
    announce_end(down, &supervisor.start, files, state);
    failpoint::reach("keeper-announced");
    let end = |record: &mut Record| {
        record.ending = true;
        record.endpoint.take_if(|_| !abandons);
    };
    recorder.change(end).await;
    tokio::join!(leases.wait_until_told(), supervisor.end());
    if is_normal {
        files.remove_log();
    }
    failpoint::reach("backend-ended");
    // Those that died before this keeper knew them.
    leases.removals().start(sweep::remove_old_files(places, None));
    recorder.change(Record::clean_up).await;
    if let Some(left) = left {
        left.wait_for_guard().await;
    }
    failpoint::reach("keeper-cleaned-up");
}

/// Ends what a killed keeper of this plan left running, and returns the record of this one. It has the same address and
/// key if sessions use them.
async fn take_record(
    start: &mut StartRequest,
    files: &PlanFiles,
    left: Option<&Record>,
    context: &KeeperContext,
) -> Record {
    let mut record = Record::of_self(context.about.clone(), context.guard.process());
    if let Some(left) = left {
        left.end().await;
        // Undone at the end rather than now, since the same changes are about to be needed again.
        record.undo.clone_from(&left.undo);
        record.endpoint = left.endpoint.clone().filter(|_| !files.is_unused());
    }
    if record.endpoint.is_some() {
        start.endpoint.clone_from(&record.endpoint);
    }
    record
}

/// Tells every session that this keeper ends, from when on it takes no lease.
fn announce_end(down: Option<Down>, start: &StartRequest, files: &PlanFiles, state: &KeeperState) {
    // First, so that a session that comes now starts a new keeper.
    let _ = fs::remove_file(files.socket());
    state.set(match down {
        Some(Down::Failed(failure)) => FromKeeper::Failed { failure: with_log(failure, start) },
        Some(Down::ModelMissing(missing)) => FromKeeper::ModelMissing(missing),
        None => FromKeeper::Stopping,
    });
}

/// Adds the command that shows the whole log to a failure that shows its end.
fn with_log(failure: Failure, start: &StartRequest) -> Failure {
    if failure.log_tail.is_empty() {
        return failure;
    }
    failure.help(format!("lclaude local logs {}  # {}", start.plan.id(), start.log.display()))
}

/// Accepts sessions; never returns unless the signal handler can't be installed.
async fn accept(mut listener: Listener, mut restorer: Restorer<'_>, leases: &Leases) -> io::Result<()> {
    let mut woken = Repeated::continued()?;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => serve::accept(leases, stream),
                // For example out of file descriptors, which others may free.
                Err(_) => sleep(Duration::from_millis(50)).await,
            },
            () = restorer.vanished() => listener = restored(&mut restorer, listener).await,
            // A session that gets no answer sends SIGCONT.
            () = woken.next() => listener = restored(&mut restorer, listener).await,
        }
    }
}

/// Returns the socket that sessions find, a new one if the old one was deleted.
async fn restored(restorer: &mut Restorer<'_>, listener: Listener) -> Listener {
    match restorer.recreate().await {
        Ok(recreated) => recreated.unwrap_or(listener),
        Err(error) => {
            tracing::warn!(%error, "the keeper's files cannot be made again");
            listener
        }
    }
}

/// Locks a program that only one keeper at a time may set up: two that change it could not both restore it. The lock is
/// taken in every runtime directory, since the other keeper may be in another one.
fn lock_exclusively(places: &[PathBuf], name: &str, title: &str) -> Result<Vec<LockFile>, Failure> {
    let mut locks = Vec::new();
    for place in places.iter().filter(|place| place.exists()) {
        let lock = LockFile::open(&place.join(name)).map_err(|error| runtime_unusable(place, error))?;
        if !lock.try_lock().unwrap_or(false) {
            return Err(Failure::new(Code::Unavailable, format!("{title} is in use by another lclaude session"))
                .cause(format!(
                    "that session uses a different model or context, and {title} is set up for one at a time"
                ))
                .help("lclaude local stop  # or use the model and context of that session"));
        }
        locks.push(lock);
    }
    Ok(locks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_is_locked_for_keepers_in_every_place() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let place = |directory: &tempfile::TempDir| directory.path().to_owned();
        let missing = place(&one).join("missing");
        let held = lock_exclusively(&[missing, place(&one), place(&other)], "program.lock", "Program").expect("free");
        assert_eq!(held.len(), 2);
        for directory in [&one, &other] {
            assert!(lock_exclusively(&[place(directory)], "program.lock", "Program").is_err());
        }
        drop(held);
        assert!(lock_exclusively(&[place(&other), place(&one)], "program.lock", "Program").is_ok());
    }
}
