//! The fakes' end of the control channel: sends a hello to the test, reports events, receives commands.
//!
//! One JSON object per line in both directions. The connection lives as long as the process: Rust opens sockets
//! close-on-exec, so children don't keep it. When the test closes it, the test is over and the fake exits.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use rustix::process::{getpid, getppid};
use serde_json::{Value, json};

/// The variable with the address of the test.
pub const ADDRESS_VARIABLE: &str = "FAKE_EVENTS";

/// A connection to the test, or none if the fake was started by hand.
#[derive(Clone)]
pub struct Control(Option<Arc<Mutex<TcpStream>>>);

impl Control {
    /// Connects and sends a hello as `who`, with the additional fields of the object `extra`.
    pub fn connect(who: &str, extra: Value) -> Self {
        let Some(address) = std::env::var_os(ADDRESS_VARIABLE) else {
            return Self(None);
        };
        let address = address.to_str().expect("FAKE_EVENTS is an address");
        let stream = TcpStream::connect(address)
            .unwrap_or_else(|error| panic!("no test listens on FAKE_EVENTS={address}: {error}"));
        let control = Self(Some(Arc::new(Mutex::new(stream))));
        control.send(&hello(who, extra));
        control
    }

    pub fn is_connected(&self) -> bool {
        self.0.is_some()
    }

    /// Reports `{"event": name, ...fields}`.
    pub fn event(&self, name: &str, fields: Value) {
        let mut event = json!({ "event": name });
        merge(&mut event, fields);
        self.send(&event);
    }

    /// Returns the commands until the test closes the connection; without a test there are none.
    pub fn commands(&self) -> impl Iterator<Item = Command> {
        let reader = self.0.as_ref().map(|stream| {
            let stream = stream.lock().expect("no thread panics while it sends");
            BufReader::new(stream.try_clone().expect("a socket can be duplicated"))
        });
        reader
            .into_iter()
            .flat_map(BufRead::lines)
            .map_while(Result::ok)
            .map(|line| Command(serde_json::from_str(&line).expect("a command is JSON")))
    }

    /// Blocks until the test closes the connection. For fakes without commands.
    pub fn wait_closed(&self) {
        self.commands().for_each(drop);
    }

    fn send(&self, line: &Value) {
        let Some(stream) = &self.0 else { return };
        let mut stream = stream.lock().expect("no thread panics while it sends");
        // If sending fails, the test is over. The thread that reads commands sees that and exits.
        let _ = stream.write_all(format!("{line}\n").as_bytes());
    }
}

/// A command `{"do": name, ...}` from the test.
pub struct Command(Value);

impl Command {
    pub fn name(&self) -> &str {
        self.text("do")
    }

    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_else(|| panic!("no text {field:?} in the command {}", self.0))
    }

    pub fn number(&self, field: &str) -> i32 {
        self.0[field]
            .as_i64()
            .and_then(|number| i32::try_from(number).ok())
            .unwrap_or_else(|| panic!("no number {field:?} in the command {}", self.0))
    }

    pub fn value(&self, field: &str) -> &Value {
        &self.0[field]
    }
}

fn hello(who: &str, extra: Value) -> Value {
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let argv: Vec<String> = std::env::args_os().map(lossy).collect();
    let env: BTreeMap<String, String> = std::env::vars_os().map(|(key, value)| (lossy(key), lossy(value))).collect();
    // Both are 0 for a leader outside the PID namespace, which rustix considers impossible.
    // SAFETY: both calls only read.
    let (pgid, sid) = unsafe { (libc::getpgrp(), libc::getsid(0)) };
    let mut hello = json!({
        "who": who,
        "pid": getpid().as_raw_nonzero().get(),
        "ppid": getppid().map_or(0, |pid| pid.as_raw_nonzero().get()),
        "pgid": pgid,
        "sid": sid,
        "argv": argv,
        "env": env,
        "cwd": std::env::current_dir().map_or_else(|_| String::new(), |dir| lossy(dir.into())),
        "stdin_tty": std::io::stdin().is_terminal(),
        "stdout_tty": std::io::stdout().is_terminal(),
    });
    merge(&mut hello, extra);
    hello
}

fn merge(object: &mut Value, fields: Value) {
    if let (Value::Object(object), Value::Object(fields)) = (object, fields) {
        object.extend(fields);
    }
}
