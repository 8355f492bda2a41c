//! `lclaude local logs`: prints a backend's log.

use std::{
    fs::{self, File},
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::sleep;

use super::which::Target;
use crate::{
    base::{
        disk,
        environment::Environment,
        error::{Code, Failure, Result},
        exit::Exit,
        signals::Signals,
        ui, wait,
    },
    cli::LogsArguments,
};

/// Time between two checks of a followed log. Polling works on every system.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

pub(crate) fn run(arguments: LogsArguments) -> Result<Exit> {
    let environment = Environment::read()?;
    let path = choose(&logs(&environment), &arguments.which.resolve(&environment)?)?;
    let mut log = Log::open(&path).map_err(|error| unreadable(&path, error))?;
    if !arguments.follow {
        return ignore_closed_pipe(log.print_new().map(|()| Exit::Code(0)), &path);
    }
    let runtime = wait::event_loop()?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        ignore_closed_pipe(follow(&mut log, &path, &mut signals).await, &path)
    })
}

/// Returns all logs, the last written at the end. A throwaway session's log is in the runtime directory.
fn logs(environment: &Environment) -> Vec<PathBuf> {
    let mut directories = environment.places.runtimes().unwrap_or_default();
    directories.push(environment.places.state.join("logs"));
    let entries = directories.iter().flat_map(fs::read_dir).flatten().flatten();
    let written = |path: &PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let mut logs: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    logs.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
    logs.sort_by_cached_key(written);
    logs
}

fn choose(logs: &[PathBuf], target: &Target) -> Result<PathBuf> {
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let found: Vec<&PathBuf> = logs
        .iter()
        .filter(|path| match target {
            Target::Id(start) => stem(path).starts_with(start),
            Target::Plan(id) => stem(path) == *id,
            Target::Unspecified => true,
        })
        .collect();
    let what = match (target, &found[..]) {
        (Target::Id(start), [first, ..]) if found.iter().any(|path| stem(path) != stem(first)) => {
            return Err(Failure::new(Code::Usage, format!("several logs have an ID that starts with {start}"))
                .cause(found.iter().map(|path| stem(path)).collect::<Vec<_>>().join(", "))
                .help(format!("lclaude local logs {}", stem(first))));
        }
        (_, [.., last]) => return Ok((*last).clone()),
        (Target::Id(start), []) => format!("no log has an ID that starts with {start}"),
        (Target::Plan(_), []) => "the selected backend has no log".into(),
        (Target::Unspecified, []) => "no backend has a log".into(),
    };
    let failure = Failure::new(Code::Unavailable, what)
        .cause("a backend's log is created when it first starts, and deleted 14 days after its last entry");
    Err(match logs {
        [] => failure.help("lclaude local serve  # starts a backend"),
        _ => failure.help("lclaude local logs  # shows the latest log"),
    })
}

/// Prints new lines until a signal comes or the reader is gone.
async fn follow(log: &mut Log, path: &Path, signals: &mut Signals) -> io::Result<Exit> {
    loop {
        log.print_new()?;
        if let Some(replacement) = log.replacement(path) {
            // Print what was written to the old file since the last read.
            log.print_new()?;
            *log = replacement;
            continue;
        }
        tokio::select! {
            () = sleep(POLL_INTERVAL) => {}
            _ = signals.next() => return Ok(signals.exit()),
        }
    }
}

/// The most bytes of a line to keep until its end is read. The keeper writes shorter ones.
const MAX_LINE: usize = 64 * 1024;

struct Log {
    file: File,
    read: u64,
    /// The beginning of a line whose end wasn't read yet.
    line: Vec<u8>,
}

impl Log {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Log { file: disk::open(path)?, read: 0, line: Vec::new() })
    }

    /// Prints what was added since the last call. Programs get the bytes as they are, and terminals clean lines.
    fn print_new(&mut self) -> io::Result<()> {
        let is_terminal = io::stdout().is_terminal();
        let mut buffer = [0; 16 * 1024];
        loop {
            let read = self.file.read(&mut buffer)?;
            self.read += read as u64;
            if is_terminal {
                self.line.extend_from_slice(&buffer[..read]);
                let end = self.line.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let is_complete = read == 0 || self.line.len() > MAX_LINE;
                let lines: Vec<u8> = self.line.drain(..if is_complete { self.line.len() } else { end }).collect();
                ui::write_stdout(clean(&lines).as_bytes())?;
            } else {
                ui::write_stdout(&buffer[..read])?;
            }
            if read == 0 {
                return Ok(());
            }
        }
    }

    /// Returns the log of a new run of the backend, if it replaced or truncated this file.
    fn replacement(&self, path: &Path) -> Option<Self> {
        let (current, ours) = (fs::metadata(path).ok()?, self.file.metadata().ok()?);
        let is_same = disk::is_same(&current, &ours) && current.len() >= self.read;
        if is_same { None } else { Log::open(path).ok() }
    }
}

/// Returns the lines as a terminal may show them.
fn clean(lines: &[u8]) -> String {
    let text = String::from_utf8_lossy(lines);
    let shown = text.split_inclusive('\n').map(|line| match line.strip_suffix('\n') {
        Some(line) => ui::log_line(line) + "\n",
        None => ui::log_line(line),
    });
    shown.collect()
}

/// Turns a closed pipe into success, since the reader may stop early.
fn ignore_closed_pipe(ended: io::Result<Exit>, path: &Path) -> Result<Exit> {
    match ended {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Code(0)),
        ended => ended.map_err(|error| unreadable(path, error)),
    }
}

fn unreadable(path: &Path, error: io::Error) -> Failure {
    Failure::new(Code::Unavailable, format!("cannot read the log {}", path.display()))
        .cause(error)
        .help(format!("ls -l {}", ui::quote_path(path)))
}
