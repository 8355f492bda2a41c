//! A relay between the real Claude Code and its server, which records when a request was sent and when its answer began.
//!
//! It sees the same with and without lclaude, and costs both the same.

use std::{
    fs,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::PathBuf,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Stage, write_program};

/// The longest request that is passed on, in bytes.
const MAX_REQUEST: usize = 16 << 20;
/// What the part of a streamed answer begins with that Claude Code shows.
const CONTENT: &str = "event: content_block_delta";

/// A running relay. Its address is `http://127.0.0.1:PORT/SERVER`, where SERVER is the port of the server.
pub struct Relay {
    port: u16,
    exchanges: Receiver<Exchange>,
}

/// A request with tools, whose answer has begun.
#[derive(Debug)]
pub struct Exchange {
    pub body: Value,
    /// From the last byte of the request to the first content of its answer.
    pub first_content: Duration,
    /// The tokens of the prompt that the server had to read, as the answer says.
    pub read: u64,
    /// The tokens of the prompt that it had already, as the answer says.
    pub reused: u64,
}

impl Relay {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let (sender, exchanges) = channel();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let sender = sender.clone();
                // A client may hang up, which is no concern of the relay's.
                thread::spawn(move || relay(client, &sender).ok());
            }
        });
        Relay { port, exchanges }
    }

    /// Waits for the next answer to a request with tools to begin.
    #[track_caller]
    pub fn next(&self, limit: Duration) -> Exchange {
        self.exchanges.recv_timeout(limit).expect("an answer")
    }

    /// Sends a request that was recorded before to a server, and returns how it was answered.
    #[track_caller]
    pub fn send(&self, server: u16, body: &Value, limit: Duration) -> Exchange {
        let body = body.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the relay listens");
        write!(
            stream,
            "POST /{server}/v1/messages HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("the relay reads");
        let exchange = self.next(limit);
        io::copy(&mut stream, &mut io::sink()).expect("the rest of the answer");
        exchange
    }

    /// Makes the Claude Code on the stage's PATH talk through this relay. It writes the time at which it starts, in
    /// nanoseconds since 1970, to the returned file, and only does that if [`ONLY_START`] is set.
    pub fn install(&self, stage: &Stage) -> PathBuf {
        let claude = stage.bin().join("claude");
        let real = fs::read_link(&claude).expect("a link to the real program");
        let (port, started) = (self.port, stage.root().join("started"));
        let script = format!(
            r#"#!/bin/bash
date +%s%N > '{started}'
[ -z "${ONLY_START}" ] || exit 0
change=s,http://127.0.0.1:,http://127.0.0.1:{port}/,
export ANTHROPIC_BASE_URL=$(sed "$change" <<< "$ANTHROPIC_BASE_URL")
# Settings override variables.
arguments=()
for argument; do
  if [ "$previous" = --settings ]; then
    sed "$change" "$argument" > "$argument.relay.json"
    argument=$argument.relay.json
  fi
  arguments+=("$argument")
  previous=$argument
done
exec '{real}' "${{arguments[@]}}"
"#,
            started = started.display(),
            real = real.display(),
        );
        fs::remove_file(&claude).expect("a link");
        write_program(&claude, script);
        started
    }
}

/// If this variable is set, a Claude Code that talks through a relay exits as soon as it starts.
pub const ONLY_START: &str = "RELAY_ONLY_START";

/// Passes on one request and its answer, and closes the connection.
fn relay(mut client: TcpStream, exchanges: &Sender<Exchange>) -> io::Result<()> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut request = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    let (head, body) = loop {
        let read = client.read(&mut buffer)?;
        if read == 0 || request.len() > MAX_REQUEST {
            return Err(invalid());
        }
        request.extend_from_slice(&buffer[..read]);
        let Some(end) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).into_owned();
        let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        if request.len() >= end + 4 + length {
            break (head, request.split_off(end + 4));
        }
    };
    let sent = Instant::now();

    let mut lines = head.lines();
    let mut first = lines.next().ok_or_else(invalid)?.split(' ');
    let (method, path) = first.next().zip(first.next()).ok_or_else(invalid)?;
    let (server, path) = path.trim_start_matches('/').split_once('/').ok_or_else(invalid)?;
    let port: u16 = server.parse().map_err(|_| invalid())?;
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    let mut head = format!("{method} /{path} HTTP/1.1\r\nConnection: close\r\n");
    for line in lines.filter(|line| !line.to_lowercase().starts_with("connection:")) {
        head.push_str(&format!("{line}\r\n"));
    }
    server.write_all(format!("{head}\r\n").as_bytes())?;
    server.write_all(&body)?;

    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut is_awaited =
        path.starts_with("v1/messages") && body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
    let mut answer = String::new();
    loop {
        let read = server.read(&mut buffer)?;
        if read == 0 {
            return client.shutdown(Shutdown::Both);
        }
        if is_awaited {
            answer.push_str(&String::from_utf8_lossy(&buffer[..read]));
            if answer.contains(CONTENT) {
                is_awaited = false;
                let [read, reused] =
                    ["\"input_tokens\":", "\"cache_read_input_tokens\":"].map(|name| number(&answer, name));
                let first_content = sent.elapsed();
                // Nobody may be interested.
                let _ = exchanges.send(Exchange { body: body.clone(), first_content, read, reused });
            }
        }
        client.write_all(&buffer[..read])?;
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|line| line.0.eq_ignore_ascii_case(name))
        .map(|line| line.1.trim())
}

/// Returns the number after `name`, or 0.
fn number(text: &str, name: &str) -> u64 {
    let digits = |rest: &str| rest.trim_start().chars().take_while(char::is_ascii_digit).collect::<String>();
    text.split_once(name).and_then(|(_, rest)| digits(rest).parse().ok()).unwrap_or(0)
}
