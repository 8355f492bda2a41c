//! Requests to the backend in the shape that Claude Code gives them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::stream::Event;
use crate::backend::{self, Endpoint};

/// A long prompt is silent for minutes on a small machine.
const LIMIT: Duration = Duration::from_secs(600);
/// Longer words of a server's are cut.
const LONGEST_WORDS: usize = 300;
/// The same of a model's.
const LONGEST_ANSWER: usize = 80;
/// As Claude Code 2.1.331 sends it with experimental betas off.
const BETA: &str = "claude-code-20250219,interleaved-thinking-2025-05-14";

pub struct Client {
    http: reqwest::Client,
    endpoint: Endpoint,
    pub model: String,
    thinks: bool,
    beta: bool,
}

/// What came back, whatever it was.
pub struct Answer {
    pub status: u16,
    /// JSON, or the text that is none.
    pub body: Value,
}

/// An answer that came in parts.
pub struct Parts {
    pub events: Vec<Event>,
    pub asked: Instant,
}

/// Why a request was not answered as it should have been, in words.
pub type Trouble = String;

impl Client {
    pub fn new(endpoint: &Endpoint, model: &str, thinks: bool) -> Self {
        let (endpoint, model) = (endpoint.clone(), model.to_owned());
        Client { http: backend::client_for(&endpoint.url), endpoint, model, thinks, beta: false }
    }

    /// The same with the beta header, which is proven apart: a server that refuses it answers everything else.
    pub fn with_beta(&self) -> Self {
        let Client { http, endpoint, model, thinks, .. } = self;
        Client { http: http.clone(), endpoint: endpoint.clone(), model: model.clone(), thinks: *thinks, beta: true }
    }

    /// A request without streaming.
    pub fn body(&self, most_tokens: u32, messages: Value) -> Value {
        // What a model thinks counts too, and comes first.
        let most_tokens = if self.thinks { most_tokens + 2048 } else { most_tokens };
        json!({ "model": self.model, "max_tokens": most_tokens, "messages": messages })
    }

    fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("{}/v1/messages?beta=true", self.endpoint.url)).json(body);
        let request = request.bearer_auth(&self.endpoint.token).header("anthropic-version", "2023-06-01");
        // A connection that is kept may be closed by the server just when the next request is on its way.
        let request = request.header("connection", "close");
        if self.beta { request.header("anthropic-beta", BETA) } else { request }
    }

    pub async fn ask(&self, body: &Value, limit: Duration) -> Result<Answer, Trouble> {
        let trouble = |error: reqwest::Error| self.hushed(&reason(&error));
        let answer = self.post(body).timeout(limit).send().await.map_err(trouble)?;
        let status = answer.status().as_u16();
        let text = answer.text().await.map_err(trouble)?;
        Ok(Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
    }

    /// The message that answers; trouble for any other status than 200.
    pub async fn message(&self, body: &Value) -> Result<Value, Trouble> {
        let answer = self.ask(body, LIMIT).await?;
        if answer.status == 200 { Ok(answer.body) } else { Err(self.refusal(&answer)) }
    }

    pub async fn stream(&self, mut body: Value) -> Result<Parts, Trouble> {
        body["stream"] = json!(true);
        let asked = Instant::now();
        let trouble = |error: reqwest::Error| self.hushed(&reason(&error));
        let mut answer = self.post(&body).timeout(LIMIT).send().await.map_err(trouble)?;
        let status = answer.status().as_u16();
        if status != 200 {
            let text = answer.text().await.map_err(trouble)?;
            return Err(
                self.refusal(&Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
            );
        }
        let (mut events, mut pending) = (Vec::new(), Vec::new());
        while let Some(chunk) = answer.chunk().await.map_err(trouble)? {
            pending.extend_from_slice(&chunk);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                events.extend(Event::of_line(&String::from_utf8_lossy(&line)));
            }
        }
        events.extend(Event::of_line(&String::from_utf8_lossy(&pending)));
        Ok(Parts { events, asked })
    }

    /// What a server says of a request that it does not serve.
    pub fn refusal(&self, answer: &Answer) -> Trouble {
        self.hushed(&format!("status {}: {}", answer.status, answer.words()))
    }

    /// Where the server says more.
    pub fn log(&self) -> String {
        match self.endpoint.port {
            // Not ours, and so is its log.
            0 => format!("curl -v {}/v1/messages -d '{{}}', and that server's own log", self.endpoint.url),
            _ => "lclaude local logs".into(),
        }
    }

    /// What a model says, on one line.
    pub fn shortened(&self, text: &str) -> String {
        let words = self.endpoint.hushed(text).split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{:?}", cut(words, LONGEST_ANSWER))
    }

    /// Without the token, before it could be cut in two.
    fn hushed(&self, words: &str) -> String {
        cut(self.endpoint.hushed(words), LONGEST_WORDS)
    }
}

impl Answer {
    /// What a person would read of it.
    pub fn words(&self) -> String {
        let error = &self.body["error"];
        let message = error["message"].as_str().or(error.as_str()).or(self.body["message"].as_str());
        message.or(self.body.as_str()).map_or_else(|| self.body.to_string(), str::to_owned)
    }
}

fn cut(words: String, most: usize) -> String {
    if words.chars().count() <= most { words } else { words.chars().take(most).chain("…".chars()).collect() }
}

fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() { "no answer in time".into() } else { backend::error_in_words(error) }
}
