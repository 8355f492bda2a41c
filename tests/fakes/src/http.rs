//! A minimal HTTP/1.1 server: requests and responses with a length, and streams.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// Reads the next request of a connection, or `None` at its end.
    pub fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let path = target.split('?').next().unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut request = Self { method, path, headers, body: Vec::new() };
        let length =
            request.header("content-length").map_or(Ok(0), str::parse).map_err(|_| io::ErrorKind::InvalidData)?;
        reader.take(length).read_to_end(&mut request.body)?;
        Ok(Some(request))
    }

    /// Returns `METHOD /path`.
    pub fn route(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Returns a header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|header| header.0 == name)?;
        Some(&found.1)
    }

    /// Returns whether the client closes the connection after this request.
    pub fn closes_connection(&self) -> bool {
        self.header("connection") == Some("close")
    }

    /// Returns the fields of the event `request` for the test.
    pub fn describe(&self) -> Value {
        let body = serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&self.body).into_owned()));
        serde_json::json!({
            "method": self.method,
            "path": self.path,
            "authorization": self.header("authorization"),
            "x_api_key": self.header("x-api-key"),
            "body": body,
        })
    }
}

pub enum Answer {
    Json(u16, String),
    Text(u16, String),
    /// A response of server-sent events.
    Events(Vec<String>),
}

impl Answer {
    pub fn json(status: u16, body: &Value) -> Self {
        Self::Json(status, body.to_string())
    }

    pub fn status(&self) -> u16 {
        match self {
            Self::Json(status, _) | Self::Text(status, _) => *status,
            Self::Events(_) => 200,
        }
    }

    /// Writes the response with additional header lines, each with its line end.
    pub fn write(&self, stream: &mut impl Write, headers: &str) -> io::Result<()> {
        let (body, kind) = match self {
            Self::Json(_, body) => (body, "application/json; charset=utf-8"),
            Self::Text(_, body) => (body, "text/plain"),
            Self::Events(events) => {
                let mut chunks = Chunks::start(stream, "text/event-stream", headers)?;
                for event in events {
                    chunks.send(event)?;
                }
                return chunks.end();
            }
        };
        let status = self.status();
        write!(
            stream,
            "HTTP/1.1 {status} {}\r\n{headers}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            reason(status),
            body.len()
        )
    }
}

/// A response of unknown length, sent in chunks.
pub struct Chunks<'a, W: Write>(&'a mut W);

impl<'a, W: Write> Chunks<'a, W> {
    pub fn start(stream: &'a mut W, kind: &str, headers: &str) -> io::Result<Self> {
        write!(stream, "HTTP/1.1 200 OK\r\n{headers}Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        Ok(Self(stream))
    }

    pub fn send(&mut self, piece: &str) -> io::Result<()> {
        write!(self.0, "{:x}\r\n{piece}\r\n", piece.len())
    }

    pub fn end(self) -> io::Result<()> {
        write!(self.0, "0\r\n\r\n")
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Payload Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        other => unreachable!("no answer has the status {other}"),
    }
}
