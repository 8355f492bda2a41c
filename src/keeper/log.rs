//! The backend's log: a file for the user, and an excerpt in memory for error messages.
//!
//! The backend writes to a pipe rather than to the file, so a full disk never stops it, and each line is an event that
//! the start can wait for without polling. A backend may write faster than anyone can read: what is kept in memory has
//! a limit, and so has the work between two turns of the event loop.

use std::{cell::RefCell, fs::File, io, os::fd::OwnedFd, rc::Rc};

use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    sync::broadcast::{self, error::RecvError},
    task::{JoinHandle, yield_now},
};

use super::{log_file::LogFile, progress::ActivityTracker};
use crate::backend::{Endpoint, LogExcerpt};

/// In bytes. A longer line is split.
const MAX_LINE: usize = 2_000;
/// Bytes that are read in one turn of the event loop.
const CHUNK: usize = 16 * 1024;
/// Lines that wait for the start; when there are more, the oldest are dropped.
const MAX_WAITING: usize = 256;

/// Reads the output of one run of a backend.
pub(crate) struct LogReader {
    excerpt: Rc<RefCell<LogExcerpt>>,
    task: JoinHandle<()>,
}

/// The lines of one run as they are read, except those that come faster than the receiver takes them.
pub(crate) struct LogLines(broadcast::Receiver<String>);

impl LogLines {
    /// Returns the next line, or `None` at the end of the output.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            match self.0.recv().await {
                Ok(line) => return Some(line),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl LogReader {
    /// Reads `output` to its end and also sends each line to `tracker`, and to the returned receiver until that is dropped.
    /// The key of `endpoint` is masked.
    pub(crate) fn start(
        output: OwnedFd,
        file: LogFile,
        endpoint: Endpoint,
        tracker: Rc<ActivityTracker>,
    ) -> io::Result<(Self, LogLines)> {
        rustix::io::ioctl_fionbio(&output, true)?;
        // Unchecked, since it may be a pseudo-terminal, which can be polled like a pipe.
        let pipe = pipe::Receiver::from_file_unchecked(File::from(output))?;
        let excerpt = Rc::new(RefCell::new(LogExcerpt::default()));
        let (sender, lines) = broadcast::channel(MAX_WAITING);
        let sink = Sink { file, pending: Vec::new(), excerpt: excerpt.clone(), sender, endpoint, tracker };
        let task = tokio::task::spawn_local(read(pipe, sink));
        Ok((LogReader { excerpt, task }, LogLines(lines)))
    }

    /// Returns the excerpt once all output has been read, or after 200 ms: a process that outlives the backend may hold
    /// the pipe open.
    pub(crate) async fn excerpt(&mut self) -> LogExcerpt {
        let _ = tokio::time::timeout(std::time::Duration::from_millis(200), &mut self.task).await;
        self.peek()
    }

    /// Returns the excerpt of what was read so far.
    pub(crate) fn peek(&self) -> LogExcerpt {
        self.excerpt.borrow().clone()
    }
}

/// Where the lines go.
struct Sink {
    file: LogFile,
    /// Lines that aren't sent to the file yet.
    pending: Vec<u8>,
    excerpt: Rc<RefCell<LogExcerpt>>,
    sender: broadcast::Sender<String>,
    endpoint: Endpoint,
    tracker: Rc<ActivityTracker>,
}

impl Sink {
    /// Takes a line that ended with `end`.
    fn take(&mut self, line: &[u8], end: u8) {
        if line.is_empty() {
            return;
        }
        // A server may log its own arguments.
        let text = self.endpoint.masked(&String::from_utf8_lossy(line));
        // Progress bars end each update with a carriage return, and the log needs none of them.
        if end == b'\n' || !text.contains('%') {
            self.pending.extend_from_slice(text.as_bytes());
            self.pending.push(b'\n');
            self.excerpt.borrow_mut().push(&text);
        }
        self.tracker.read(&text);
        // The receiver is gone once the backend is up.
        let _ = self.sender.send(text);
    }

    /// Sends the lines taken so far to the file.
    fn flush(&mut self) {
        if !self.pending.is_empty() {
            self.file.write(std::mem::take(&mut self.pending));
        }
    }
}

async fn read(mut pipe: pipe::Receiver, mut sink: Sink) {
    let mut chunk = vec![0; CHUNK];
    let mut line = Vec::new();
    loop {
        let read = match pipe.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        for &byte in &chunk[..read] {
            if b"\n\r".contains(&byte) {
                sink.take(&line, byte);
                line.clear();
            } else {
                line.push(byte);
                if line.len() == MAX_LINE {
                    sink.take(&line, b'\n');
                    line.clear();
                }
            }
        }
        sink.flush();
        // A pipe that is always full must not keep sockets and timers waiting.
        yield_now().await;
    }
    sink.take(&line, b'\n');
    sink.flush();
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;
    use crate::backend::registry;

    #[test]
    fn slow_receiver_gets_the_newest_lines_and_the_key_is_masked() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an event loop");
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("backend.log");
            let (read, mut write) = io::pipe().expect("a pipe");
            let endpoint = Endpoint::new(String::new(), 0, "sk-1".into());
            let file = LogFile::create(&path);
            let tracker = Rc::new(ActivityTracker::new(registry::ALL[0].kind(), 1));
            let (mut log, mut lines) =
                LogReader::start(read.into(), file.clone(), endpoint, tracker).expect("a reader");
            let writer = std::thread::spawn(move || {
                writeln!(write, "ValueError: first").expect("read");
                (0..20_000).for_each(|line| writeln!(write, "line {line} of sk-1").expect("read"));
            });
            // Nothing takes a line before the end.
            let _ = (&mut log.task).await;
            writer.join().expect("the writer");
            let mut received = Vec::new();
            while let Some(line) = lines.next().await {
                received.push(line);
            }
            assert_eq!((received.len(), &*received[MAX_WAITING - 1]), (MAX_WAITING, "line 19999 of ••••••••"));
            assert_eq!(log.peek().first_error().as_deref(), Some("ValueError: first"));
            file.close().await;
            let text = fs::read_to_string(&path).expect("text");
            assert_eq!((text.lines().count(), text.contains("sk-1")), (20_001, false));
        });
    }
}
