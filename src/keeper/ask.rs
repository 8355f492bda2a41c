//! Status and stop requests to keepers, for the verbs of `lclaude local`. They hold no lease and start nothing.
//!
//! Every wait has a timeout, since a keeper may be suspended or belong to another version of lclaude.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    files::PlanFiles,
    lock::LockFile,
    protocol::{Answer, Receiver, ToKeeper, send},
    record::Record,
    report::{KeeperInfo, Report, SessionInfo, State},
    silent,
    start::StartRequest,
    sweep::{self, plans},
    timeouts::REPLY_TIMEOUT,
};
use crate::base::{
    error::{Code, Failure, Result},
    process::Identity,
    socket::{self, WriteHalf},
};

/// How long an answer to `status` may take; a working keeper never needs longer.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an answer to `stop` may take before the keeper is woken, since it may be suspended.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);
/// Attempts to stop a plan's keeper, since waiting sessions may each time start a new one.
const MAX_ATTEMPTS: u32 = 5;
/// Time between two checks of a keeper that has no socket.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Returns all backends that are up, starting, or left behind, oldest first. `places`: the runtime directories.
pub(crate) async fn list_backends(places: &[PathBuf]) -> Vec<Report> {
    // Concurrently, so that all keepers that don't answer cost one timeout.
    let mut requests = JoinSet::new();
    for (place, id) in plans(places) {
        requests.spawn(async move { query_backend(&place, &id).await });
    }
    let mut found: Vec<Report> = requests.join_all().await.into_iter().flatten().collect();
    found.sort_by(|one, other| other.up_for.cmp(&one.up_for).then_with(|| one.about.id.cmp(&other.about.id)));
    found
}

/// Returns one plan's backend, or `None` if nothing of it is left.
pub(crate) async fn query_backend(runtime: &Path, id: &str) -> Option<Report> {
    let report = ask(&PlanFiles::new(runtime, id), id).await?;
    Some(Report { runtime: runtime.to_owned(), ..report })
}

async fn ask(files: &PlanFiles, id: &str) -> Option<Report> {
    let answer = timeout(STATUS_TIMEOUT, async {
        let mut client = KeeperClient::connect(files).await.ok()?;
        client.request(&ToKeeper::Status).await
    });
    let state = match answer.await {
        Ok(Some(Answer::Status { report })) => {
            let group = report.group.or_else(|| Record::read(files)?.backend);
            return Some(Report { group, ..*report });
        }
        // No keeper, one that is exiting, or one of another version.
        Ok(_) => None,
        Err(_) => Some(State::Stuck),
    };
    let record = Record::read(files)?;
    let state = match state {
        Some(state) => state,
        None if files.has_keeper() => match record.ending {
            true => State::Stopping,
            false => State::Unknown,
        },
        None if record.is_left_behind() => State::LeftBehind,
        None => return None,
    };
    let about = KeeperInfo { id: id.to_owned(), keeper: record.keeper.pid, ..record.about };
    Some(Report { about, state, group: record.backend, ..Report::default() })
}

/// Returns the version and PID of keepers from other versions of lclaude that serve the same models. They accept no
/// sessions of this version. Only reads records, since a session is waiting.
pub(crate) fn find_other_versions(start: &StartRequest) -> Vec<(String, i32)> {
    let plans = plans(&start.places).into_iter();
    let records = plans.filter_map(|(place, id)| Record::read(&PlanFiles::new(&place, &id)));
    let is_other = |record: &Record| {
        let KeeperInfo { version, kind, models, .. } = &record.about;
        !version.is_empty()
            && version != env!("CARGO_PKG_VERSION")
            && *kind == start.plan.kind.to_string()
            && *models == start.plan.models
            && !record.ending
            && record.keeper.is_alive()
    };
    records.filter(is_other).map(|record| (record.about.version, record.keeper.pid)).collect()
}

/// The result of a request to stop a backend.
#[derive(Debug)]
pub(crate) enum StopOutcome {
    /// Backend and keeper are gone. These sessions were notified and are exiting.
    Gone(Vec<Identity>),
    /// There was nothing to stop.
    NotThere,
    /// Not stopped, because these sessions use it.
    InUse(Vec<SessionInfo>),
    /// Not stopped, because its keeper doesn't answer, so sessions may be using it.
    NoAnswer,
}

/// Stops a plan's backend and returns when nothing of it is left. Without `force`, does so only if no session uses it.
///
/// # Errors
/// `Unavailable` if it can't be stopped.
pub(crate) async fn stop(runtime: &Path, id: &str, force: bool) -> Result<StopOutcome> {
    let files = PlanFiles::new(runtime, id);
    let (mut was_there, mut notified) = (false, Vec::new());
    for _ in 0..MAX_ATTEMPTS {
        // Not one that follows it meanwhile, which others may use.
        let keeper = silent::keeper(&files);
        if let Ok(mut client) = KeeperClient::connect(&files).await {
            match client.stop(&files, keeper, force, &mut notified).await {
                Some(Answer::InUse { sessions }) => return Ok(StopOutcome::InUse(sessions)),
                None if !force => return Ok(StopOutcome::NoAnswer),
                _ => {}
            }
        } else if files.has_keeper() {
            if Record::read(&files).is_some_and(|record| record.ending) {
                wait_until_free(&files, keeper).await;
            } else {
                // It is starting, its guard cleans up, or its socket was deleted and it makes it again when woken.
                silent::wake(&files);
                if timeout(REPLY_TIMEOUT, wait_for_socket(&files)).await.is_err() {
                    if !force {
                        return Ok(StopOutcome::NoAnswer);
                    }
                    silent::kill(&files, keeper).await;
                }
            }
        } else if Record::is_left(&files) {
            sweep::clean_up(&files).await;
        } else {
            if let Some(guard) = Record::read(&files).and_then(|record| record.guard) {
                guard.ends_within(REPLY_TIMEOUT).await;
            }
            return Ok(if was_there { StopOutcome::Gone(notified) } else { StopOutcome::NotThere });
        }
        was_there = true;
    }
    let pid = Record::read(&files).map_or(0, |record| record.keeper.pid);
    Err(Failure::new(Code::Unavailable, "the backend could not be stopped")
        .cause(format!("its keeper (process {pid}) keeps running or is started again each time"))
        .help("lclaude local status  # lists its sessions; end them first"))
}

/// Waits until a keeper without a socket accepts connections, or is gone.
async fn wait_for_socket(files: &PlanFiles) {
    while files.has_keeper() && socket::connect(&files.socket()).await.is_err() {
        sleep(POLL_INTERVAL).await;
    }
}

/// Waits until the exiting keeper is gone, and kills it if it takes too long.
async fn wait_until_free(files: &PlanFiles, keeper: Option<Identity>) {
    let Ok(lock) = LockFile::open_existing(&files.lock()) else {
        return;
    };
    let waiting = tokio::task::spawn_blocking(move || lock.lock());
    if silent::wait_for(files, waiting).await.is_none() {
        silent::kill(files, keeper).await;
    }
}

/// A connection that isn't a lease.
struct KeeperClient {
    receiver: Receiver,
    write: WriteHalf,
}

impl KeeperClient {
    async fn connect(files: &PlanFiles) -> io::Result<Self> {
        let (receiver, write) = Receiver::of(socket::connect(&files.socket()).await?);
        Ok(KeeperClient { receiver, write })
    }

    async fn request(&mut self, request: &ToKeeper) -> Option<Answer> {
        send(&mut self.write, request).await.ok()?;
        self.receiver.next().await
    }

    /// Sends `stop`, and waits until the keeper refuses or is gone. Wakes a keeper that doesn't answer; with `force`,
    /// kills it. Adds the sessions that the keeper notified to `notified`.
    async fn stop(
        &mut self,
        files: &PlanFiles,
        keeper: Option<Identity>,
        force: bool,
        notified: &mut Vec<Identity>,
    ) -> Option<Answer> {
        send(&mut self.write, &ToKeeper::Stop { force }).await.ok()?;
        let answer = match timeout(STOP_TIMEOUT, self.receiver.next()).await {
            Ok(answer) => Some(answer),
            Err(_) => {
                silent::wake(files);
                // The user waits for this answer, and may insist.
                timeout(REPLY_TIMEOUT, self.receiver.next()).await.ok()
            }
        };
        match answer {
            Some(Some(Answer::Stopping { sessions })) => {
                notified.extend(sessions.iter().filter_map(|session| Identity::of(session.pid)));
                // The connection closes when it is gone.
                if silent::wait_for(files, self.receiver.next::<Answer>()).await.is_none() {
                    silent::kill(files, keeper).await;
                }
                Some(Answer::Unknown)
            }
            // The connection closed, or another version sent an unknown message.
            Some(answer) => answer.or(Some(Answer::Unknown)),
            None => {
                if force {
                    silent::kill(files, keeper).await;
                }
                None
            }
        }
    }
}
