//! Sends requests to the backend in the form that Claude Code uses.

use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::{Value, json};

use super::stream::Event;
use crate::{
    backend::{self, ANSWER_BYTES, BodyLines, Endpoint, read_body},
    base::ui,
};

/// A slow machine may take minutes to read a long prompt before it sends anything.
const LIMIT: Duration = Duration::from_secs(600);
/// The most bytes of a streamed answer. The tests ask for 3,000 tokens at most.
const MAX_STREAM: usize = 4 << 20;
/// Characters of a server's error message that are shown.
const MAX_ERROR: usize = 300;
/// Characters of a model's answer that are shown.
const MAX_ANSWER: usize = 80;
/// The beta header of Claude Code 2.1.331 with experimental betas off.
const BETA: &str = "claude-code-20250219,interleaved-thinking-2025-05-14";

pub(crate) struct ApiClient {
    http: reqwest::Client,
    endpoint: Endpoint,
    pub model: String,
    thinks: bool,
    beta: bool,
}

/// A response with any status.
pub(crate) struct Reply {
    pub status: u16,
    /// The parsed JSON, or the text as a string if it isn't JSON.
    pub body: Value,
}

/// A streamed response.
pub(crate) struct Parts {
    pub events: Vec<Event>,
    /// When the request was sent.
    pub sent: Instant,
}

/// Why a request failed or its response was wrong, as text.
pub(crate) type Trouble = String;

impl ApiClient {
    pub(crate) fn new(endpoint: &Endpoint, model: &str, thinks: bool) -> Self {
        let (endpoint, model) = (endpoint.clone(), model.to_owned());
        ApiClient { http: backend::client_for(&endpoint.url), endpoint, model, thinks, beta: false }
    }

    /// Returns a client that sends the beta header, tested separately because some servers reject it.
    pub(crate) fn with_beta(&self) -> Self {
        let ApiClient { http, endpoint, model, thinks, .. } = self;
        ApiClient { http: http.clone(), endpoint: endpoint.clone(), model: model.clone(), thinks: *thinks, beta: true }
    }

    /// Returns the body of a request without streaming.
    pub(crate) fn body(&self, max_tokens: u32, messages: Value) -> Value {
        // Thinking comes first and counts toward the limit.
        let max_tokens = if self.thinks { max_tokens + 2048 } else { max_tokens };
        json!({ "model": self.model, "max_tokens": max_tokens, "messages": messages })
    }

    fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("{}/v1/messages?beta=true", self.endpoint.url)).json(body);
        let request = self.endpoint.authorize(request).header("anthropic-version", "2023-06-01");
        // The server may close an idle connection just as the next request arrives.
        let request = request.header("connection", "close");
        if self.beta { request.header("anthropic-beta", BETA) } else { request }
    }

    /// Sends a request and returns the response with any status.
    pub(crate) async fn send(&self, body: &Value, limit: Duration) -> Result<Reply, Trouble> {
        let trouble = |error: reqwest::Error| self.masked(&describe_error(&error));
        let answer = self.post(body).timeout(limit).send().await.map_err(trouble)?;
        self.read(answer).await
    }

    async fn read(&self, answer: Response) -> Result<Reply, Trouble> {
        let status = answer.status().as_u16();
        let body = read_body(answer, ANSWER_BYTES).await.map_err(|why| self.masked(&why))?;
        let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
        Ok(Reply { status, body: serde_json::from_slice(&body).unwrap_or_else(|_| text()) })
    }

    /// Sends a request and returns the response message.
    ///
    /// # Errors
    /// Any status other than 200.
    pub(crate) async fn message(&self, body: &Value) -> Result<Value, Trouble> {
        let answer = self.send(body, LIMIT).await?;
        if answer.status == 200 { Ok(answer.body) } else { Err(self.refusal(&answer)) }
    }

    /// Sends a streaming request and reads all events.
    pub(crate) async fn stream(&self, mut body: Value) -> Result<Parts, Trouble> {
        body["stream"] = json!(true);
        let sent = Instant::now();
        let trouble = |error: reqwest::Error| self.masked(&describe_error(&error));
        let answer = self.post(&body).timeout(LIMIT).send().await.map_err(trouble)?;
        if answer.status() != 200 {
            return Err(self.refusal(&self.read(answer).await?));
        }
        let mut lines = BodyLines::new(answer);
        let (mut events, mut length) = (Vec::new(), 0);
        while let Some(line) = lines.next().await.map_err(|why| self.masked(&why))? {
            length += line.len();
            if length > MAX_STREAM {
                return Err(format!("its answer is longer than {} MB", MAX_STREAM >> 20));
            }
            events.extend(Event::parse(&String::from_utf8_lossy(&line)));
        }
        Ok(Parts { events, sent })
    }

    /// Returns the status and error message of a rejected request.
    pub(crate) fn refusal(&self, answer: &Reply) -> Trouble {
        self.masked(&format!("status {}: {}", answer.status, answer.message()))
    }

    /// Returns the command that shows more about a failure.
    pub(crate) fn log_help(&self) -> String {
        match self.endpoint.port {
            // lclaude didn't start this server, so it has no log of it.
            0 => format!("curl -v {}/v1/messages -d '{{}}'  # and see the server's own log", self.endpoint.url),
            _ => "lclaude local logs".into(),
        }
    }

    /// Returns the start of a model's answer on one line, in quotes.
    pub(crate) fn shortened(&self, text: &str) -> String {
        let line = self.endpoint.masked(text).split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{:?}", ui::shorten(&line, MAX_ANSWER))
    }

    /// Masks the token before truncating, which could split it.
    fn masked(&self, text: &str) -> String {
        ui::shorten(&self.endpoint.masked(text), MAX_ERROR)
    }
}

impl Reply {
    /// Returns the whole body as text.
    pub(crate) fn text(&self) -> String {
        self.body.as_str().map_or_else(|| self.body.to_string(), str::to_owned)
    }

    /// Returns the error message, or the whole body without one.
    pub(crate) fn message(&self) -> String {
        let error = &self.body["error"];
        let message = error["message"].as_str().or(error.as_str()).or(self.body["message"].as_str());
        message.or(self.body.as_str()).map_or_else(|| self.body.to_string(), str::to_owned)
    }
}

fn describe_error(error: &reqwest::Error) -> String {
    if error.is_timeout() { "timed out".into() } else { backend::describe_error(error) }
}
