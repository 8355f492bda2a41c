//! `lclaude local logs`: what a backend has said.

use crate::cli::Logs;
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::sleep;

use super::which::Said;
use crate::{
    base::{
        disk,
        environment::Environment,
        error::{Code, Failure, Result},
        signals::Signals,
    },
    launch,
};

/// Between two looks at a log that is followed. Not every system tells when a file grows.
const PERIOD: Duration = Duration::from_millis(200);

pub fn run(arguments: Logs) -> Result<u8> {
    let environment = Environment::read()?;
    let path = choose(&logs(&environment), &arguments.which.read(&environment)?)?;
    let mut log = Log::open(&path).map_err(|error| unreadable(&path, error))?;
    if !arguments.follow {
        return done(log.pass_on().map(|_| 0), &path);
    }
    let runtime = launch::event_loop()?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        done(follow(&mut log, &path, &mut signals).await, &path)
    })
}

/// The logs there are, the one that was written last at the end. A throwaway session's is in the runtime directory.
fn logs(environment: &Environment) -> Vec<PathBuf> {
    let directories =
        [Some(environment.places.state.join("logs")), environment.places.runtime().ok().map(Path::to_owned)];
    let entries = directories.iter().flatten().flat_map(fs::read_dir).flatten().flatten();
    let written = |path: &PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let mut logs: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    logs.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
    logs.sort_by_cached_key(written);
    logs
}

fn choose(logs: &[PathBuf], said: &Said) -> Result<PathBuf> {
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let found: Vec<&PathBuf> = logs
        .iter()
        .filter(|path| match said {
            Said::Id(start) => stem(path).starts_with(start),
            Said::Plan(id) => stem(path) == *id,
            Said::Nothing => true,
        })
        .collect();
    let what = match (said, &found[..]) {
        (Said::Id(start), [first, ..]) if found.iter().any(|path| stem(path) != stem(first)) => {
            return Err(Failure::new(Code::Usage, format!("several logs' ids begin with {start}"))
                .why(found.iter().map(|path| stem(path)).collect::<Vec<_>>().join(", "))
                .help("write one of them as a whole"));
        }
        (_, [.., last]) => return Ok((*last).clone()),
        (Said::Id(start), []) => format!("no backend's log has an id that begins with {start}"),
        (Said::Plan(_), []) => "the backend that these options choose has no log".into(),
        (Said::Nothing, []) => "no backend has a log".into(),
    };
    let failure = Failure::new(Code::Unavailable, what)
        .why("a backend has one from its first start on; it is kept for 14 days after the last");
    Err(match logs {
        [] => failure.help("lclaude, or lclaude local serve, starts a backend"),
        _ => failure.help("lclaude local logs shows the latest; lclaude local status shows what is up"),
    })
}

/// Until a signal comes, or nobody reads any more.
async fn follow(log: &mut Log, path: &Path, signals: &mut Signals) -> io::Result<u8> {
    loop {
        log.pass_on()?;
        // A new run of the backend has begun a new file, or the old one is empty again.
        if let Some(anew) = log.successor(path) {
            // What came between the last look and its end.
            log.pass_on()?;
            *log = anew;
            continue;
        }
        tokio::select! {
            () = sleep(PERIOD) => {}
            _ = signals.next() => return Ok(signals.exit_code()),
        }
    }
}

struct Log {
    file: File,
    read: u64,
}

impl Log {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Log { file: disk::open(path)?, read: 0 })
    }

    /// Prints what is new.
    fn pass_on(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let mut stdout = io::stdout().lock();
        loop {
            let read = self.file.read(&mut buffer)?;
            if read == 0 {
                return stdout.flush();
            }
            stdout.write_all(&buffer[..read])?;
            self.read += read as u64;
        }
    }

    /// The file that has come to be in its place.
    fn successor(&self, path: &Path) -> Option<Self> {
        let (there, ours) = (fs::metadata(path).ok()?, self.file.metadata().ok()?);
        let is_same = (there.dev(), there.ino()) == (ours.dev(), ours.ino()) && there.len() >= self.read;
        if is_same { None } else { Log::open(path).ok() }
    }
}

/// A reader that has had enough is no failure.
fn done(ended: io::Result<u8>, path: &Path) -> Result<u8> {
    match ended {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        ended => ended.map_err(|error| unreadable(path, error)),
    }
}

fn unreadable(path: &Path, error: io::Error) -> Failure {
    Failure::new(Code::Unavailable, format!("the log {} cannot be shown", path.display()))
        .why(error)
        .help(format!("ls -l {}", path.display()))
}
