//! The test's end of the control channel: waits for fakes to appear, tells them what to do, hears
//! what happens to them.
//!
//! Nothing here sleeps: every wait ends with what is waited for, or fails the test after
//! [`PATIENCE`]. Dropping [`Events`] ends every fake that is still there.

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

/// How long a wait lasts before it fails the test: long enough for any busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where the fakes of one test report.
pub struct Events {
    address: SocketAddr,
    arrivals: Receiver<Fake>,
    /// Arrived, but not asked for yet.
    waiting: RefCell<Vec<Fake>>,
    /// One of each connection, to end the fakes with.
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
        // Lives until the test program ends: a thread on `accept` has no other way out, and costs nothing.
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

    /// The next fake of the kind `who` that says hello; others wait to be asked for.
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
                    panic!("no {who:?} said hello within {PATIENCE:?}; others did: {others:?}");
                }
            }
        }
    }

    /// Those that said hello and were not asked for, without waiting.
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
            // Fails for a fake that is gone already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// What a fake says about itself first.
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
    /// Only Claude Code: what the last `--settings` says, its path if it is a file, and that
    /// file's permissions in octal.
    #[serde(default)]
    pub settings: Value,
    #[serde(default)]
    pub settings_path: Option<String>,
    #[serde(default)]
    pub settings_mode: Option<String>,
}

/// A running fake program. Its [`Hello`] is reached through it: `fake.pid`.
pub struct Fake {
    hello: Hello,
    stream: TcpStream,
    events: Receiver<Value>,
    /// Heard while something else was waited for.
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

    /// The next event of that name; others wait to be asked for.
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

    /// Waits until the process is gone: the kernel then closes its end of the connection.
    pub fn wait_gone(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.receive(deadline) {
                Ok(event) => self.heard.borrow_mut().push_back(event),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{} {} still lives after {PATIENCE:?}", self.who, self.pid)
                }
            }
        }
    }

    /// Whether the process is gone by now. The kernel knows at once; the connection tells it a moment later.
    pub fn is_gone(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    }

    fn receive(&self, deadline: Instant) -> Result<Value, RecvTimeoutError> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.events.recv_timeout(left)
    }
}

/// Reads one fake's lines to the end; the end drops the sender, which its [`Fake`] sees.
fn listen(stream: TcpStream, arrivals: &Sender<Fake>) {
    let reader = BufReader::new(stream.try_clone().expect("a socket can be duplicated"));
    let mut lines = reader.lines().map_while(Result::ok);
    // Something that connects and says nothing was a fake killed at its start.
    let Some(line) = lines.next() else { return };
    let hello = serde_json::from_str(&line).unwrap_or_else(|error| panic!("not a hello ({error}): {line}"));
    let (sender, events) = channel();
    let fake = Fake { hello, stream, events, heard: RefCell::default() };
    // Neither send fails unless the test has stopped listening.
    if arrivals.send(fake).is_err() {
        return;
    }
    for line in lines {
        let event = serde_json::from_str(&line).unwrap_or_else(|error| panic!("not an event ({error}): {line}"));
        let _ = sender.send(event);
    }
}
