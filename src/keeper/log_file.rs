//! The file of the backend's log. A thread of its own writes it, since a disk may be slow or hang, and the keeper's
//! thread must not wait for it.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Sender, channel},
    },
    thread,
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use crate::base::disk;

/// In bytes. Then a new file is started, since a backend that logs every token for days must not fill the disk.
const MAX_FILE: usize = 16 * 1024 * 1024;
/// Bytes that may wait for the disk. Lines that come while more wait are dropped.
const MAX_WAITING: usize = 1024 * 1024;
/// How long the last lines may take to be written.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(200);
/// Of the writing thread, in bytes.
const STACK: usize = 64 * 1024;

/// A handle to the log file. Failed writes are ignored.
#[derive(Clone)]
pub(crate) struct LogFile(Rc<Queue>);

struct Queue {
    /// `None` once the file is closed.
    sender: RefCell<Option<Sender<Vec<u8>>>>,
    /// Bytes that were sent but not written yet.
    waiting: Arc<AtomicUsize>,
    /// Lines that were dropped since the last write.
    missing: Cell<usize>,
    /// Resolves when the thread has written everything.
    finished: Cell<Option<oneshot::Receiver<Infallible>>>,
}

impl LogFile {
    /// Creates a file at `path`. The previous one is kept as `….old`, since it may explain a crash.
    pub(crate) fn create(path: &Path) -> Self {
        let (sender, texts) = channel::<Vec<u8>>();
        let (running, finished) = oneshot::channel();
        let waiting = Arc::<AtomicUsize>::default();
        let (path, written) = (path.to_owned(), Arc::clone(&waiting));
        let write = move || {
            let _running = running;
            let mut file = RotatingFile::create(path);
            for text in texts {
                file.write(&text);
                written.fetch_sub(text.len(), Relaxed);
            }
        };
        // Without a thread there is no file either.
        let _ = thread::Builder::new().name("log".into()).stack_size(STACK).spawn(write);
        LogFile(Rc::new(Queue {
            sender: Some(sender).into(),
            waiting,
            missing: Cell::default(),
            finished: Some(finished).into(),
        }))
    }

    /// Adds whole lines. If the disk is slower than the backend, they are dropped, and the file says how many.
    pub(crate) fn write(&self, lines: Vec<u8>) {
        if self.0.waiting.load(Relaxed) + lines.len() > MAX_WAITING {
            self.0.missing.update(|missing| missing + lines.split(|&byte| byte == b'\n').count() - 1);
        } else {
            self.note_missing();
            self.send(lines);
        }
    }

    /// Closes the file once everything is written, or after 200 ms.
    pub(crate) async fn close(&self) {
        self.note_missing();
        self.0.sender.take();
        if let Some(finished) = self.0.finished.take() {
            let _ = timeout(CLOSE_TIMEOUT, finished).await;
        }
    }

    fn note_missing(&self) {
        match self.0.missing.take() {
            0 => {}
            1 => self.send(b"lclaude: 1 line is missing here, because the disk was too slow\n".into()),
            lines => {
                self.send(format!("lclaude: {lines} lines are missing here, because the disk was too slow\n").into());
            }
        }
    }

    fn send(&self, text: Vec<u8>) {
        if let Some(sender) = &*self.0.sender.borrow() {
            self.0.waiting.fetch_add(text.len(), Relaxed);
            let _ = sender.send(text);
        }
    }
}

/// A file that is replaced by a new one when it is full.
struct RotatingFile {
    path: PathBuf,
    file: Option<File>,
    written: usize,
}

impl RotatingFile {
    fn create(path: PathBuf) -> Self {
        let open = || -> io::Result<File> {
            if let Some(dir) = path.parent() {
                disk::create_private_dir(dir)?;
            }
            let _ = fs::rename(&path, path.with_extension("old"));
            // Others add to it too: the output of `[command] stop`, and the text of a panic.
            disk::private().append(true).create(true).open(&path)
        };
        RotatingFile { file: open().ok(), path, written: 0 }
    }

    fn write(&mut self, text: &[u8]) {
        if self.written > MAX_FILE {
            *self = RotatingFile::create(std::mem::take(&mut self.path));
        }
        if let Some(file) = &mut self.file {
            let _ = file.write_all(text);
        }
        self.written += text.len();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn log_rotates_at_the_size_limit() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("backend.log");
        let mut log = RotatingFile::create(path.clone());
        let line = format!("{}\n", "x".repeat(1024 * 1024)).into_bytes();
        for _ in 0..40 {
            log.write(&line);
        }
        log.write(b"the last\n");
        let text = |path: &Path| fs::read_to_string(path).expect("text");
        assert!(text(&path).ends_with("x\nthe last\n"));
        for file in [path.clone(), path.with_extension("old")] {
            // The line that exceeds the limit is still written.
            assert!((1..=MAX_FILE + line.len()).contains(&text(&file).len()), "{}", file.display());
        }
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 2);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn slow_disk_drops_lines_and_notes_how_many() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("backend.log");
        // A pipe can't be opened before somebody reads it, as on a disk that hangs. This keeps it from being renamed.
        fs::create_dir_all(path.with_extension("old").join("file")).expect("a directory");
        assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
        let log = LogFile::create(&path);
        let lines = "x".repeat(MAX_WAITING / 4 - 1) + "\n";
        for _ in 0..4 {
            log.write(lines.clone().into());
        }
        log.write(b"lost\nlost\n".into());
        // Nobody reads, so it gives up.
        log.close().await;
        assert!(log.0.waiting.load(Relaxed) >= MAX_WAITING);

        let text = fs::read_to_string(&path).expect("text");
        assert!(text.ends_with("x\nlclaude: 2 lines are missing here, because the disk was too slow\n"));
        assert_eq!((text.lines().count(), text.contains("lost")), (5, false));
    }
}
