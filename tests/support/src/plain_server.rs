//! The real llama-server without lclaude, to which a test or benchmark sends requests itself.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use super::{Stage, real, until};

/// A running llama-server. Dropping it ends it.
pub struct PlainServer {
    child: Child,
    pub port: u16,
}

impl PlainServer {
    /// Starts it with the context and the single slot that lclaude uses, and waits until it is ready.
    #[track_caller]
    pub fn start(stage: &Stage, model: &Path, arguments: &[&str]) -> Self {
        let (_, program) = real::programs().expect("the real programs");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let child = stage
            .command(program)
            .args(["--host", "127.0.0.1", "--port", &port.to_string(), "-c", "65536", "-np", "1", "-m"])
            .arg(model)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("llama-server runs");
        let server = Self { child, port };
        until("llama-server is ready", || {
            server.try_request("GET", "/health", "").is_some_and(|(status, _)| status == 200)
        });
        server
    }

    /// Sends a request, which must succeed, and returns the response.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let (status, response) = self.try_request("POST", path, &body.to_string()).expect("a response");
        assert_eq!(status, 200, "{path}: {response}");
        response
    }

    /// Saves or restores its slot as `name` in the directory of `--slot-save-path`, and returns the number of tokens.
    #[track_caller]
    pub fn slot(&self, action: &str, name: &str) -> u64 {
        let response = self.post(&format!("/slots/0?action={action}"), &json!({"filename": name}));
        response["n_saved"].as_u64().or(response["n_restored"].as_u64()).expect("a number of tokens")
    }

    /// Returns the four best candidates for the first token of an answer, with their probabilities, and how many tokens of
    /// the prompt were reused.
    #[track_caller]
    pub fn first_token(&self, prompt: &[Value]) -> (Value, u64) {
        let response = self.post(
            "/completion",
            &json!({"prompt": prompt, "n_predict": 1, "n_probs": 4, "temperature": 0, "cache_prompt": true}),
        );
        let best = response["completion_probabilities"][0]["top_logprobs"].clone();
        assert_eq!(best.as_array().map(Vec::len), Some(4), "{response}");
        (best, response["timings"]["cache_n"].as_u64().expect("a number"))
    }

    fn try_request(&self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).unwrap_or_default()))
    }
}

impl Drop for PlainServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
