//! The test's end of the control channel: waits for fakes, sends them commands, and receives their
//! events.
//!
//! Nothing here sleeps: every wait ends with its event, or fails the test after [`PATIENCE`].
//! Dropping [`Events`] ends all fakes that are still running.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use crate::ending::Ending;

/// How long a wait lasts before it fails the test: long enough for any busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The fakes of one test.
pub struct Events {
    address: SocketAddr,
    arrivals: Receiver<Fake>,
    /// Connected, but not yet returned to the test.
    waiting: RefCell<Vec<Fake>>,
    /// A handle of each connection, to end the fakes.
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Events {
    #[expect(clippy::new_without_default, reason = "it opens a socket")]
    pub fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (sender, arrivals) = channel();
        let all = Arc::clone(&connections);
        // The thread runs until the test program exits, because `accept` can't be interrupted.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let copy = stream.try_clone().expect("a socket can be duplicated");
                all.lock().expect("no thread panics with it").push(copy);
                let sender = sender.clone();
                thread::spawn(move || listen(stream, &sender));
            }
        });
        Self { address, arrivals, waiting: RefCell::default(), connections }
    }

    /// The value for the environment variable `FAKE_EVENTS`.
    pub fn addr(&self) -> String {
        self.address.to_string()
    }

    /// Waits for the next fake of the kind `who`. Others are kept for later calls.
    pub fn next(&self, who: &str) -> Fake {
        let mut waiting = self.waiting.borrow_mut();
        if let Some(at) = waiting.iter().position(|fake| fake.who == who) {
            return waiting.remove(at);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.arrivals.recv_timeout(left) {
                Ok(fake) if fake.who == who => return fake,
                Ok(fake) => waiting.push(fake),
                Err(_) => {
                    let others: Vec<&str> = waiting.iter().map(|fake| &*fake.who).collect();
                    panic!("no {who:?} connected within {PATIENCE:?}; others did: {others:?}");
                }
            }
        }
    }

    /// Returns the fakes that have connected and were not yet returned, without waiting.
    pub fn rest(&self) -> Vec<Fake> {
        let mut waiting = self.waiting.take();
        waiting.extend(self.arrivals.try_iter());
        waiting
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let connections = self.connections.lock().expect("no thread panics with it");
        for connection in connections.iter() {
            // Fails for a fake that is already gone.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// The first message of a fake, about itself.
#[derive(Debug, Clone, Deserialize)]
pub struct Hello {
    pub who: String,
    pub pid: i32,
    pub ppid: i32,
    pub pgid: i32,
    pub sid: i32,
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub cwd: String,
    pub stdin_tty: bool,
    pub stdout_tty: bool,
    /// Only for Claude Code: the content of the last `--settings`, its path if it is a file, and that
    /// file's permissions in octal.
    #[serde(default)]
    pub settings: Value,
    #[serde(default)]
    pub settings_path: Option<String>,
    #[serde(default)]
    pub settings_mode: Option<String>,
}

/// A running fake program. It dereferences to its [`Hello`]: `fake.pid`.
pub struct Fake {
    hello: Hello,
    stream: TcpStream,
    ending: Ending,
    events: Receiver<Value>,
    /// Events received while waiting for others.
    heard: RefCell<VecDeque<Value>>,
}

impl std::ops::Deref for Fake {
    type Target = Hello;

    fn deref(&self) -> &Hello {
        &self.hello
    }
}

impl Fake {
    /// Sends a command, `json!({"do": ...})`.
    pub fn send(&self, command: Value) {
        (&self.stream)
            .write_all(format!("{command}\n").as_bytes())
            .unwrap_or_else(|error| panic!("{}: gone before {command}: {error}", self.who));
    }

    /// Waits for the next event of this name. Others are kept for later calls.
    pub fn wait_event(&self, name: &str) -> Value {
        let is_it = |event: &Value| event["event"] == name;
        let mut heard = self.heard.borrow_mut();
        if let Some(event) = heard.iter().position(is_it).and_then(|at| heard.remove(at)) {
            return event;
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.receive(deadline) {
                Ok(event) if is_it(&event) => return event,
                Ok(event) => heard.push_back(event),
                Err(why) => {
                    let (who, pid) = (&self.who, self.pid);
                    let why = match why {
                        RecvTimeoutError::Timeout => format!("not within {PATIENCE:?}"),
                        RecvTimeoutError::Disconnected => "the process ended".to_owned(),
                    };
                    panic!("no event {name:?} from {who} {pid}: {why}; heard: {heard:?}");
                }
            }
        }
    }

    /// Returns whether an event of this name has arrived.
    pub fn has_event(&self, name: &str) -> bool {
        let mut heard = self.heard.borrow_mut();
        heard.extend(self.events.try_iter());
        heard.iter().any(|event| event["event"] == name)
    }

    /// Waits until the process is gone, with all of its threads, open files and sockets.
    pub fn wait_gone(&self) {
        let deadline = Instant::now() + PATIENCE;
        // The kernel closes the files of a dying process one by one, this connection perhaps before the others.
        let closed = loop {
            match self.receive(deadline) {
                Ok(event) => self.heard.borrow_mut().push_back(event),
                Err(why) => break why == RecvTimeoutError::Disconnected,
            }
        };
        assert!(
            closed && self.ending.comes_before(deadline),
            "{} {} is still running after {PATIENCE:?}",
            self.who,
            self.pid
        );
    }

    /// Returns whether the process is gone, with all of its threads, open files and sockets.
    pub fn is_gone(&self) -> bool {
        self.ending.comes_before(Instant::now())
    }

    fn receive(&self, deadline: Instant) -> Result<Value, RecvTimeoutError> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.events.recv_timeout(left)
    }
}

/// Reads one fake's lines to the end, which drops the sender and so notifies its [`Fake`].
fn listen(stream: TcpStream, arrivals: &Sender<Fake>) {
    let reader = BufReader::new(stream.try_clone().expect("a socket can be duplicated"));
    let mut lines = reader.lines().map_while(Result::ok);
    // A connection without a hello comes from a fake that was killed at its start.
    let Some(line) = lines.next() else { return };
    let hello: Hello = serde_json::from_str(&line).unwrap_or_else(|error| panic!("not a hello ({error}): {line}"));
    let (sender, events) = channel();
    let ending = Ending::of(hello.pid);
    let fake = Fake { hello, stream, ending, events, heard: RefCell::default() };
    // Sending fails only if the test has stopped listening.
    if arrivals.send(fake).is_err() {
        return;
    }
    for line in lines {
        let event = serde_json::from_str(&line).unwrap_or_else(|error| panic!("not an event ({error}): {line}"));
        let _ = sender.send(event);
    }
}
