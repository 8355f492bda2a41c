//! Asking keepers, and telling them to end: for the verbs of `lclaude local`, which hold no lease and start nothing.
//!
//! Every wait here has an end, since a keeper may be suspended, or may belong to another version of lclaude.

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
    files::{Holder, LockFile, PlanFiles, Rouse},
    protocol::{Answer, ToKeeper, receive, send},
    report::{About, Report, Session, State},
    start::Start,
    sweep,
};
use crate::base::{
    error::{Code, Failure, Result},
    process::Identity,
};

/// How long an answer to `status` may take. A keeper has nothing to do that takes longer.
const ANSWER: Duration = Duration::from_secs(1);
/// Keepers of one plan that are ended one after the other: sessions that were waiting may have started a new one.
const ROUNDS: u32 = 5;
/// Before another look at a keeper that has no socket yet, or no longer.
const PAUSE: Duration = Duration::from_millis(50);

/// All backends that are up, coming up, or left behind, the oldest first.
pub async fn survey(runtime: &Path) -> Vec<Report> {
    // At once, so that those that do not answer cost one wait.
    let mut asking = JoinSet::new();
    for id in ids(runtime) {
        let files = PlanFiles::new(runtime, &id);
        asking.spawn(async move { ask(&files, &id).await });
    }
    let mut found: Vec<Report> = asking.join_all().await.into_iter().flatten().collect();
    found.sort_by(|one, other| other.up_for.cmp(&one.up_for).then_with(|| one.about.id.cmp(&other.about.id)));
    found
}

/// The plans that ever had a keeper.
fn ids(runtime: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(runtime).into_iter().flatten().flatten().map(|entry| entry.path());
    let plans = entries.filter(|path| path.extension().is_some_and(|ending| ending == "lock"));
    plans.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
}

/// One plan's backend; `None` if nothing of it is there.
pub async fn report(runtime: &Path, id: &str) -> Option<Report> {
    ask(&PlanFiles::new(runtime, id), id).await
}

async fn ask(files: &PlanFiles, id: &str) -> Option<Report> {
    let asked = timeout(ANSWER, async {
        let mut talk = Talk::with(files).await.ok()?;
        talk.say(&ToKeeper::Status).await
    });
    let state = match asked.await {
        Ok(Some(Answer::Status { report })) => {
            let group = report.group.or_else(|| files.holder()?.backend);
            return Some(Report { group, ..*report });
        }
        // Nobody, one that is about to end, or one of another version.
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
        None if holder.left_something() => State::LeftBehind,
        None => return None,
    };
    let about = About { id: id.to_owned(), keeper: holder.keeper.pid, ..holder.about };
    Some(Report { about, state, group: holder.backend, ..Report::default() })
}

/// Whether there is a keeper, whatever it may be doing.
fn is_held(files: &PlanFiles) -> bool {
    // Shared and for an instant: a keeper that starts just now waits for it.
    LockFile::existing(&files.lock()).is_ok_and(|lock| !lock.try_lock().unwrap_or(true))
}

/// Keepers of other versions of lclaude that serve the same, by version and process. They serve their own sessions to the
/// end, and no others. Reads a few small files and asks nobody, since a session waits.
pub fn of_other_versions(start: &Start) -> Vec<(String, i32)> {
    let holders = ids(&start.runtime).filter_map(|id| PlanFiles::new(&start.runtime, &id).holder());
    let is_other = |holder: &Holder| {
        let About { version, kind, models, .. } = &holder.about;
        !version.is_empty()
            && version != env!("CARGO_PKG_VERSION")
            && *kind == start.plan.kind.to_string()
            && *models == start.plan.models
            && !holder.ending
            && holder.keeper.is_alive()
    };
    holders.filter(is_other).map(|holder| (holder.about.version, holder.keeper.pid)).collect()
}

/// What came of a request to end a backend.
#[derive(Debug)]
pub enum Stopped {
    /// Backend and keeper have gone. These sessions have been told, and end by themselves.
    Gone(Vec<Identity>),
    /// Nothing was there.
    NotThere,
    /// Not ended: these sessions use it.
    InUse(Vec<Session>),
    /// Not ended: its keeper does not answer, so nobody knows who uses it.
    NoAnswer,
}

/// Ends a plan's backend and returns when nothing of it is left. Without `force` only one that no session uses.
///
/// # Errors
/// `Unavailable` when it cannot be ended.
pub async fn stop(runtime: &Path, id: &str, force: bool) -> Result<Stopped> {
    let files = PlanFiles::new(runtime, id);
    let (mut was_there, mut told) = (false, Vec::new());
    for _ in 0..ROUNDS {
        if let Ok(mut talk) = Talk::with(&files).await {
            match talk.stop(&files, force, &mut told).await {
                Some(Answer::InUse { sessions }) => return Ok(Stopped::InUse(sessions)),
                None if !force => return Ok(Stopped::NoAnswer),
                _ => {}
            }
        } else if is_held(&files) {
            if !files.holder().is_some_and(|holder| holder.ending) {
                // It comes up, or its socket was deleted, which it looks after when it is woken.
                files.rouse(Rouse::Wake).await;
                sleep(PAUSE).await;
                continue;
            }
            until_free(&files).await;
        } else if files.holder().is_some_and(|holder| holder.has_leftovers()) {
            sweep::tidy_up(&files.lock()).await;
        } else {
            return Ok(if was_there { Stopped::Gone(told) } else { Stopped::NotThere });
        }
        was_there = true;
    }
    let pid = files.holder().map_or(0, |holder| holder.keeper.pid);
    Err(Failure::new(Code::Unavailable, "the backend could not be ended")
        .why(format!("its keeper, process {pid}, goes on or comes back each time"))
        .help("end its sessions first: lclaude local status shows them"))
}

/// Until the keeper that is ending has ended. One that takes too long is killed.
async fn until_free(files: &PlanFiles) {
    let Ok(lock) = LockFile::existing(&files.lock()) else {
        return;
    };
    let mut waiting = tokio::task::spawn_blocking(move || lock.lock());
    for rouse in [Rouse::Wake, Rouse::Kill] {
        if timeout(files.patience(rouse), &mut waiting).await.is_ok() {
            return;
        }
        files.rouse(rouse).await;
    }
    let _ = waiting.await;
}

/// A connection that is no lease.
struct Talk {
    lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
}

impl Talk {
    async fn with(files: &PlanFiles) -> io::Result<Self> {
        let (read, write) = UnixStream::connect(files.socket()).await?.into_split();
        Ok(Talk { lines: BufReader::new(read).lines(), write })
    }

    async fn say(&mut self, request: &ToKeeper) -> Option<Answer> {
        send(&mut self.write, request).await.ok()?;
        receive(&mut self.lines).await
    }

    /// Its answer to `stop`, and if that is yes, its end. A keeper that does not answer is woken, and with `force` killed.
    async fn stop(&mut self, files: &PlanFiles, force: bool, told: &mut Vec<Identity>) -> Option<Answer> {
        send(&mut self.write, &ToKeeper::Stop { force }).await.ok()?;
        let mut agreed = false;
        for rouse in [Rouse::Wake, Rouse::Kill] {
            loop {
                // To wake it does no harm, so that need not wait for long.
                let patience = if rouse == Rouse::Wake && !agreed { ANSWER } else { files.patience(rouse) };
                let Ok(answer) = timeout(patience, receive(&mut self.lines)).await else {
                    break;
                };
                match answer {
                    Some(Answer::Stopping { sessions }) => {
                        agreed = true;
                        told.extend(sessions.iter().filter_map(|session| Identity::of(session.pid)));
                    }
                    // Its end, or another version's words.
                    answer => return answer.or(Some(Answer::Unknown)),
                }
            }
            if rouse == Rouse::Wake || force || agreed {
                files.rouse(rouse).await;
            }
        }
        None
    }
}
