//! The backend's log: a file for the user, and the last lines in memory for error messages.
//!
//! The backend writes to a pipe rather than to the file, so a full disk never stops it, and each line is an event that
//! the start can wait for without polling.

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

/// Lines kept for error messages.
const TAIL: usize = 12;
/// In bytes.
const MAX_LINE: usize = 2_000;
/// In bytes. Then a new file is started, since a backend that logs every token for days must not fill the disk.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// The log file. Failed writes are ignored.
pub(crate) struct LogFile {
    path: PathBuf,
    file: Option<File>,
    written: u64,
}

impl LogFile {
    /// Creates a file at `path`. The previous one is kept as `….old`, since it may explain a crash.
    pub(crate) fn create(path: &Path) -> Self {
        let open = || -> io::Result<File> {
            if let Some(dir) = path.parent() {
                crate::base::disk::create_private_dir(dir)?;
            }
            let _ = fs::rename(path, path.with_extension("old"));
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
        };
        LogFile { path: path.to_owned(), file: open().ok(), written: 0 }
    }

    pub(crate) fn write_line(&mut self, line: &str) {
        if self.written > MAX_FILE {
            *self = LogFile::create(&self.path);
        }
        if let Some(file) = &mut self.file {
            let _ = writeln!(file, "{line}");
            self.written += line.len() as u64 + 1;
        }
    }
}

/// Reads the output of one run of a backend.
pub(crate) struct LogReader {
    tail: Rc<RefCell<VecDeque<String>>>,
    task: JoinHandle<()>,
}

impl LogReader {
    /// Reads `output` to its end and also sends each line to the returned channel, until the receiver is dropped.
    pub(crate) fn start(
        output: OwnedFd,
        file: Rc<RefCell<LogFile>>,
    ) -> io::Result<(Self, mpsc::UnboundedReceiver<String>)> {
        rustix::io::ioctl_fionbio(&output, true)?;
        // Unchecked, since it may be a pseudo-terminal, which can be polled like a pipe.
        let pipe = pipe::Receiver::from_file_unchecked(File::from(output))?;
        let tail = Rc::new(RefCell::new(VecDeque::new()));
        let (sender, lines) = mpsc::unbounded_channel();
        let task = tokio::task::spawn_local(read(pipe, file, tail.clone(), sender));
        Ok((LogReader { tail, task }, lines))
    }

    /// Returns the last lines once all output has been read, or after 200 ms: a process that outlives the backend may
    /// hold the pipe open.
    pub(crate) async fn tail(&mut self) -> Vec<String> {
        let _ = tokio::time::timeout(std::time::Duration::from_millis(200), &mut self.task).await;
        self.peek()
    }

    /// Returns the last lines read so far.
    pub(crate) fn peek(&self) -> Vec<String> {
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
                    (bytes.len(), Some(b'\n').filter(|_| line.len() > MAX_LINE))
                }
            },
        };
        pipe.consume(used);
        let Some(end) = end else {
            continue;
        };
        if !line.is_empty() {
            let text = String::from_utf8_lossy(&line);
            // Progress bars end each update with a carriage return, and the log needs none of them.
            if end == b'\n' || !text.contains('%') {
                record(&text, &file, &tail);
            }
            // The receiver is gone once the backend is up.
            let _ = sender.send(text.into_owned());
            line.clear();
        }
    }
    if !line.is_empty() {
        record(&String::from_utf8_lossy(&line), &file, &tail);
    }
}

fn record(line: &str, file: &RefCell<LogFile>, tail: &RefCell<VecDeque<String>>) {
    file.borrow_mut().write_line(line);
    let mut tail = tail.borrow_mut();
    if tail.len() == TAIL {
        tail.pop_front();
    }
    tail.push_back(line.chars().take(MAX_LINE).collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_rotates_at_the_size_limit() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("backend.log");
        let mut log = LogFile::create(&path);
        let line = "x".repeat(1024 * 1024);
        for _ in 0..40 {
            log.write_line(&line);
        }
        log.write_line("the last");
        let text = |path: &Path| fs::read_to_string(path).expect("text");
        assert!(text(&path).ends_with("x\nthe last\n"));
        for file in [path.clone(), path.with_extension("old")] {
            // The line that exceeds the limit is still written.
            assert!((1..=MAX_FILE as usize + line.len() + 1).contains(&text(&file).len()), "{}", file.display());
        }
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 2);
    }
}
