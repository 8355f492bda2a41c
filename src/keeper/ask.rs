//! Status and stop requests to keepers, for the verbs of `lclaude local`. They hold no lease and start nothing.
//!
//! Every wait has a timeout, since a keeper may be suspended or belong to another version of lclaude.

use std::{fs, io, path::Path, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    files::{Escalation, Holder, LockFile, PlanFiles},
    protocol::{Answer, ToKeeper, receive, send},
    report::{KeeperInfo, Report, SessionInfo, State},
    start::StartRequest,
    sweep,
};
use crate::base::{
    error::{Code, Failure, Result},
    process::Identity,
};

/// How long an answer to `status` may take; a working keeper never needs longer.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);
/// Attempts to stop a plan's keeper, since waiting sessions may each time start a new one.
const MAX_ATTEMPTS: u32 = 5;
/// Time between two checks of a keeper that has no socket.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Returns all backends that are up, starting, or left behind, oldest first.
pub(crate) async fn list_backends(runtime: &Path) -> Vec<Report> {
    // Concurrently, so that all keepers that don't answer cost one timeout.
    let mut requests = JoinSet::new();
    for id in plan_ids(runtime) {
        let files = PlanFiles::new(runtime, &id);
        requests.spawn(async move { ask(&files, &id).await });
    }
    let mut found: Vec<Report> = requests.join_all().await.into_iter().flatten().collect();
    found.sort_by(|one, other| other.up_for.cmp(&one.up_for).then_with(|| one.about.id.cmp(&other.about.id)));
    found
}

/// Returns the IDs of all plans that ever had a keeper.
fn plan_ids(runtime: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(runtime).into_iter().flatten().flatten().map(|entry| entry.path());
    let plans = entries.filter(|path| path.extension().is_some_and(|ending| ending == "lock"));
    plans.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
}

/// Returns one plan's backend, or `None` if nothing of it is left.
pub(crate) async fn query_backend(runtime: &Path, id: &str) -> Option<Report> {
    ask(&PlanFiles::new(runtime, id), id).await
}

async fn ask(files: &PlanFiles, id: &str) -> Option<Report> {
    let answer = timeout(STATUS_TIMEOUT, async {
        let mut client = KeeperClient::connect(files).await.ok()?;
        client.request(&ToKeeper::Status).await
    });
    let state = match answer.await {
        Ok(Some(Answer::Status { report })) => {
            let group = report.group.or_else(|| files.holder()?.backend);
            return Some(Report { group, ..*report });
        }
        // No keeper, one that is exiting, or one of another version.
        Ok(_) => None,
        Err(_) => Some(State::Stuck),
    };
    let holder = files.holder()?;
    let state = match state {
        Some(state) => state,
        None if is_held(files) => match holder.ending {
            true => State::Stopping,
            false => State::Unknown,
        },
        None if holder.is_left_behind() => State::LeftBehind,
        None => return None,
    };
    let about = KeeperInfo { id: id.to_owned(), keeper: holder.keeper.pid, ..holder.about };
    Some(Report { about, state, group: holder.backend, ..Report::default() })
}

/// Returns whether a keeper exists, in any state.
fn is_held(files: &PlanFiles) -> bool {
    // Held only for a moment; a keeper that is just starting waits for it.
    LockFile::open_existing(&files.lock()).is_ok_and(|lock| !lock.try_lock().unwrap_or(true))
}

/// Returns the version and PID of keepers from other versions of lclaude that serve the same models. They accept no
/// sessions of this version. Only reads lock files, since a session is waiting.
pub(crate) fn find_other_versions(start: &StartRequest) -> Vec<(String, i32)> {
    let holders = plan_ids(&start.runtime).filter_map(|id| PlanFiles::new(&start.runtime, &id).holder());
    let is_other = |holder: &Holder| {
        let KeeperInfo { version, kind, models, .. } = &holder.about;
        !version.is_empty()
            && version != env!("CARGO_PKG_VERSION")
            && *kind == start.plan.kind.to_string()
            && *models == start.plan.models
            && !holder.ending
            && holder.keeper.is_alive()
    };
    holders.filter(is_other).map(|holder| (holder.about.version, holder.keeper.pid)).collect()
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
        if let Ok(mut client) = KeeperClient::connect(&files).await {
            match client.stop(&files, force, &mut notified).await {
                Some(Answer::InUse { sessions }) => return Ok(StopOutcome::InUse(sessions)),
                None if !force => return Ok(StopOutcome::NoAnswer),
                _ => {}
            }
        } else if is_held(&files) {
            if !files.holder().is_some_and(|holder| holder.ending) {
                // It is starting, or its socket was deleted and it recreates it when woken.
                files.escalate(Escalation::Wake).await;
                sleep(POLL_INTERVAL).await;
                continue;
            }
            wait_until_free(&files).await;
        } else if files.holder().is_some_and(|holder| holder.has_leftovers()) {
            sweep::clean_up(&files.lock()).await;
        } else {
            return Ok(if was_there { StopOutcome::Gone(notified) } else { StopOutcome::NotThere });
        }
        was_there = true;
    }
    let pid = files.holder().map_or(0, |holder| holder.keeper.pid);
    Err(Failure::new(Code::Unavailable, "the backend could not be stopped")
        .cause(format!("its keeper (process {pid}) keeps running or is started again each time"))
        .help("end its sessions first; lclaude local status lists them"))
}

/// Waits until the exiting keeper is gone, and kills it if it takes too long.
async fn wait_until_free(files: &PlanFiles) {
    let Ok(lock) = LockFile::open_existing(&files.lock()) else {
        return;
    };
    let mut waiting = tokio::task::spawn_blocking(move || lock.lock());
    for step in [Escalation::Wake, Escalation::Kill] {
        if timeout(files.timeout_before(step), &mut waiting).await.is_ok() {
            return;
        }
        files.escalate(step).await;
    }
    let _ = waiting.await;
}

/// A connection that isn't a lease.
struct KeeperClient {
    lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
}

impl KeeperClient {
    async fn connect(files: &PlanFiles) -> io::Result<Self> {
        let (read, write) = UnixStream::connect(files.socket()).await?.into_split();
        Ok(KeeperClient { lines: BufReader::new(read).lines(), write })
    }

    async fn request(&mut self, request: &ToKeeper) -> Option<Answer> {
        send(&mut self.write, request).await.ok()?;
        receive(&mut self.lines).await
    }

    /// Sends `stop`, and waits until the keeper refuses or is gone. Wakes a keeper that doesn't answer; with `force`,
    /// kills it. Adds the sessions that the keeper notified to `notified`.
    async fn stop(&mut self, files: &PlanFiles, force: bool, notified: &mut Vec<Identity>) -> Option<Answer> {
        send(&mut self.write, &ToKeeper::Stop { force }).await.ok()?;
        let mut agreed = false;
        for step in [Escalation::Wake, Escalation::Kill] {
            loop {
                // Waking a keeper is harmless, so this doesn't wait long to do it.
                let limit =
                    if step == Escalation::Wake && !agreed { STATUS_TIMEOUT } else { files.timeout_before(step) };
                let Ok(answer) = timeout(limit, receive(&mut self.lines)).await else {
                    break;
                };
                match answer {
                    Some(Answer::Stopping { sessions }) => {
                        agreed = true;
                        notified.extend(sessions.iter().filter_map(|session| Identity::of(session.pid)));
                    }
                    // The connection closed, or another version sent an unknown message.
                    answer => return answer.or(Some(Answer::Unknown)),
                }
            }
            if step == Escalation::Wake || force || agreed {
                files.escalate(step).await;
            }
        }
        None
    }
}
