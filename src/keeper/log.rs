//! The backend's log: kept in a file for people, and its last lines in memory for errors.
//!
//! It comes through a pipe rather than going straight to the file, so that a full disk costs the file and never the
//! backend, and so that a line is an event: the start is watched without polling for it.

use std::{
    cell::RefCell,
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    rc::Rc,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::unix::pipe,
    sync::mpsc,
    task::JoinHandle,
};

const TAIL: usize = 12;
const LONGEST_LINE: usize = 2_000;
/// Bytes after which a new file is begun: a backend that logs each token for days must not fill the disk.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;

/// The file; every write may fail without harm.
pub struct LogFile {
    path: PathBuf,
    file: Option<File>,
    written: u64,
}

impl LogFile {
    /// Begins a file at `path`; the one before it is kept beside, as `….old`, since it may tell of a crash.
    pub fn create(path: &Path) -> Self {
        let open = || -> io::Result<File> {
            if let Some(dir) = path.parent() {
                crate::base::disk::make_dir(dir)?;
            }
            let _ = fs::rename(path, path.with_extension("old"));
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
        };
        LogFile { path: path.to_owned(), file: open().ok(), written: 0 }
    }

    pub fn line(&mut self, line: &str) {
        if self.written > LONGEST_FILE {
            *self = LogFile::create(&self.path);
        }
        if let Some(file) = &mut self.file {
            let _ = writeln!(file, "{line}");
            self.written += line.len() as u64 + 1;
        }
    }
}

/// Reads one run of a backend.
pub struct Reader {
    tail: Rc<RefCell<VecDeque<String>>>,
    task: JoinHandle<()>,
}

impl Reader {
    /// Reads `output` to its end. The lines come out of the channel too, for as long as somebody holds its other end.
    pub fn start(output: OwnedFd, file: Rc<RefCell<LogFile>>) -> io::Result<(Self, mpsc::UnboundedReceiver<String>)> {
        rustix::io::ioctl_fionbio(&output, true)?;
        // Unchecked, since it may be a pseudo-terminal: what matters is that it can be waited for, as a pipe can.
        let pipe = pipe::Receiver::from_file_unchecked(File::from(output))?;
        let tail = Rc::new(RefCell::new(VecDeque::new()));
        let (sender, lines) = mpsc::unbounded_channel();
        let task = tokio::task::spawn_local(read(pipe, file, tail.clone(), sender));
        Ok((Reader { tail, task }, lines))
    }

    /// The last lines, once all that was written has been read. A process that outlives the backend may hold the pipe
    /// open, so this does not wait for long.
    pub async fn tail(&mut self) -> Vec<String> {
        let _ = tokio::time::timeout(std::time::Duration::from_millis(200), &mut self.task).await;
        self.peek()
    }

    /// The last lines so far.
    pub fn peek(&self) -> Vec<String> {
        self.tail.borrow().iter().cloned().collect()
    }
}

async fn read(
    pipe: pipe::Receiver,
    file: Rc<RefCell<LogFile>>,
    tail: Rc<RefCell<VecDeque<String>>>,
    sender: mpsc::UnboundedSender<String>,
) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        let (used, end) = match pipe.fill_buf().await {
            Ok([]) | Err(_) => break,
            Ok(bytes) => match bytes.iter().position(|byte| b"\n\r".contains(byte)) {
                Some(at) => {
                    line.extend_from_slice(&bytes[..at]);
                    (at + 1, Some(bytes[at]))
                }
                None => {
                    line.extend_from_slice(bytes);
                    (bytes.len(), Some(b'\n').filter(|_| line.len() > LONGEST_LINE))
                }
            },
        };
        pipe.consume(used);
        let Some(end) = end else {
            continue;
        };
        if !line.is_empty() {
            let text = String::from_utf8_lossy(&line);
            // A progress bar ends its lines with a carriage return; nobody wants a hundred of them in a log.
            if end == b'\n' || !text.contains('%') {
                keep(&text, &file, &tail);
            }
            // Nobody listens once the backend is up.
            let _ = sender.send(text.into_owned());
            line.clear();
        }
    }
    if !line.is_empty() {
        keep(&String::from_utf8_lossy(&line), &file, &tail);
    }
}

fn keep(line: &str, file: &RefCell<LogFile>, tail: &RefCell<VecDeque<String>>) {
    file.borrow_mut().line(line);
    let mut tail = tail.borrow_mut();
    if tail.len() == TAIL {
        tail.pop_front();
    }
    tail.push_back(line.chars().take(LONGEST_LINE).collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_never_fills_the_disk() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("it.log");
        let mut log = LogFile::create(&path);
        let line = "x".repeat(1024 * 1024);
        for _ in 0..40 {
            log.line(&line);
        }
        log.line("the last");
        let text = |path: &Path| fs::read_to_string(path).expect("text");
        assert!(text(&path).ends_with("x\nthe last\n"));
        for file in [path.clone(), path.with_extension("old")] {
            // The line that is one too many is written all the same.
            assert!((1..=LONGEST_FILE as usize + line.len() + 1).contains(&text(&file).len()), "{}", file.display());
        }
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 2);
    }
}
