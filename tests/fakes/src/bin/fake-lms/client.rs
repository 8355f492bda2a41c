//! The connection from the commands to LM Studio: one JSON line as request, one as response.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use lclaude_fakes::process::start_self_apart;
use serde_json::Value;

use crate::home::Home;
use crate::{DAEMON, fails};

const PATIENCE: Duration = Duration::from_secs(20);
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(5);

pub struct Client(UnixStream);

impl Client {
    /// Connects to LM Studio if it is running.
    pub fn find(home: &Home) -> Option<Self> {
        UnixStream::connect(home.socket()).ok().map(Self)
    }

    /// Connects to LM Studio and starts it if needed, as most commands do.
    pub fn find_or_start(home: &Home) -> Result<Self, String> {
        if let Some(client) = Self::find(home) {
            return Ok(client);
        }
        let failed = || "Error: Failed to start or connect to local LM Studio API server.".to_owned();
        if fails("daemon") {
            return Err(failed());
        }
        start_self_apart(DAEMON);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(client) = Self::find(home) {
                return Ok(client);
            }
            std::thread::sleep(BETWEEN_ATTEMPTS);
        }
        Err(failed())
    }

    /// Returns the response, or LM Studio's error message.
    pub fn ask(&mut self, question: &Value) -> Result<Value, String> {
        self.follow(question, |_| {})
    }

    /// Does the same for a long request that reports progress.
    pub fn follow(&mut self, question: &Value, mut progress: impl FnMut(&Value)) -> Result<Value, String> {
        let gone = |error| format!("Error: the connection to LM Studio was lost: {error}");
        writeln!(self.0, "{question}").map_err(gone)?;
        let mut lines = BufReader::new(&self.0).lines();
        loop {
            let line = lines.next().unwrap_or_else(|| Ok(String::new())).map_err(gone)?;
            let mut answer: Value = serde_json::from_str(&line).map_err(|error| gone(error.into()))?;
            if answer["progress"].is_object() {
                progress(&answer["progress"]);
                continue;
            }
            return match answer["error"].as_str() {
                Some(error) => Err(format!("Error: {error}")),
                None => Ok(answer["ok"].take()),
            };
        }
    }
}
