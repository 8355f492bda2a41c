//! HTTP clients, waiting until a server is up, and the routes that several kinds use.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, RequestBuilder, Response, StatusCode, redirect::Policy};
use serde::de::DeserializeOwned;
use serde_json::{Value, error::Category};
use tokio::time::{sleep, timeout};

use super::{
    certificates,
    plan::Endpoint,
    proxy,
    starting::{Health, StartError, Starting},
};
use crate::base::{
    error::{Code, Failure},
    process::Listener,
    ui,
    variables::Variables,
};

/// The first and the longest pause between two health checks of a starting backend.
const POLL_PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
/// The longest pause while nobody listens yet. Looking costs little, and a stopped Claude Code waits for the listener.
const LISTEN_PAUSE: Duration = Duration::from_millis(10);
/// The timeout of requests that a server answers immediately.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The timeout of requests whose answer is only listed.
pub(crate) const LIST_TIMEOUT: Duration = Duration::from_secs(3);

/// Returns a client for servers on this machine, which ignores the user's proxies.
pub(crate) fn client() -> Client {
    // Loading the system's certificates would delay the start.
    builder().no_proxy().tls_certs_only([]).build().expect("a client without certificates can always be built")
}

/// Returns a client for the server at `url`. A remote server is reached through the proxy that Claude Code uses too.
pub(crate) fn client_for(url: &str) -> Client {
    // Like a library's own defaults, these are read where a client is made.
    let variables = Variables::read();
    let reach = || match proxy::find(url, &variables) {
        Ok(Some(proxy)) => builder().no_proxy().proxy(proxy),
        // Whoever plans a session reports an unusable proxy.
        Ok(None) | Err(_) => builder().no_proxy(),
    };
    if url.starts_with("https:") {
        let extra = certificates::extra(&variables).unwrap_or_default();
        let secure = match certificates::client_config(extra) {
            Some(config) => reach().tls_backend_preconfigured(config).build(),
            None => reach().build(),
        };
        if let Ok(client) = secure {
            return client;
        }
    }
    // On a machine without certificates the https request itself then reports the error.
    reach().tls_certs_only([]).build().expect("a client without certificates can always be built")
}

fn builder() -> ClientBuilder {
    // Fails only if a provider is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A redirect would send prompts to a server that the user didn't configure.
    Client::builder().connect_timeout(ANSWER_TIMEOUT).redirect(Policy::none())
}

/// Returns the innermost cause of an error, since the outer ones say only that the request failed.
pub(crate) fn describe_error(error: &reqwest::Error) -> String {
    let mut innermost = None;
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        innermost = Some(cause.to_string());
        source = cause.source();
    }
    innermost.unwrap_or_else(|| if error.is_timeout() { "no answer in time".into() } else { error.to_string() })
}

/// Polls with `look` until the backend is up. A new log line triggers the next poll early, since it often marks a step
/// of the start. Nothing is sent before the backend listens on its port, and nothing to another user's program there.
pub(crate) async fn wait_until_up(starting: &Starting<'_>, look: impl AsyncFn() -> Health) -> Result<(), StartError> {
    let mut pause = POLL_PAUSES.0;
    loop {
        let health = match (starting.listener)() {
            Listener::Nobody => {
                pause = pause.min(LISTEN_PAUSE);
                Health::Unreachable
            }
            Listener::Ours => look().await,
            Listener::Foreign => Health::NotOurs,
        };
        match health {
            Health::Up => return Ok(()),
            Health::NotOurs => return Err(StartError::NotOurs),
            Health::Loading => starting.report("loading the model", None, ""),
            Health::Unreachable => {}
        }
        sleep(POLL_PAUSES.0).await;
        pause = match timeout(pause, starting.new_log_line.notified()).await {
            Ok(()) => POLL_PAUSES.0,
            Err(_) => POLL_PAUSES.1.min(pause * 2),
        };
    }
}

/// The most bytes of a list, such as that of a gateway with thousands of models.
pub(crate) const LIST_BYTES: usize = 8 << 20;
/// The most bytes of any other answer, and of a line of a streamed one.
pub(crate) const ANSWER_BYTES: usize = 1 << 20;

/// Reads the body of a response. The request's own timeout covers this too.
///
/// # Errors
/// What went wrong, in words: the connection broke, or the body is longer than `limit` bytes.
pub(crate) async fn read_body(mut answer: Response, limit: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| describe_error(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(format!("its answer is longer than {} MB", limit >> 20));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The lines of a streamed body.
pub(crate) struct BodyLines {
    answer: Response,
    /// What arrived of the next lines.
    pending: Vec<u8>,
    /// The bytes of `pending` that contain no end of a line.
    searched: usize,
    is_ended: bool,
}

impl BodyLines {
    pub(crate) fn new(answer: Response) -> Self {
        BodyLines { answer, pending: Vec::new(), searched: 0, is_ended: false }
    }

    /// Returns the next line, or `None` at the end. The last one may lack its newline.
    ///
    /// # Errors
    /// What went wrong, in words: the connection broke, or the line is longer than [`ANSWER_BYTES`].
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            if let Some(end) = self.pending[self.searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.pending.split_off(self.searched + end + 1);
                self.searched = 0;
                return Ok(Some(std::mem::replace(&mut self.pending, rest)));
            }
            self.searched = self.pending.len();
            if self.is_ended {
                self.searched = 0;
                return Ok(Some(std::mem::take(&mut self.pending)).filter(|line| !line.is_empty()));
            }
            if self.pending.len() > ANSWER_BYTES {
                return Err(format!("a line of its answer is longer than {} MB", ANSWER_BYTES >> 20));
            }
            match self.answer.chunk().await.map_err(|error| describe_error(&error))? {
                Some(chunk) => self.pending.extend_from_slice(&chunk),
                None => self.is_ended = true,
            }
        }
    }
}

/// Reads the JSON body of a response.
///
/// # Errors
/// As for [`read_body`], or the body is not the expected JSON. The body itself isn't shown: it may be long.
pub(crate) async fn read_json<T: DeserializeOwned>(answer: Response, limit: usize) -> Result<T, String> {
    let body = read_body(answer, limit).await?;
    serde_json::from_slice(&body).map_err(|error| describe_json_error(&error))
}

/// Describes an error without the body, which may be long.
pub(crate) fn describe_json_error(error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Data => "its answer does not have the expected fields".into(),
        _ => "its answer is not JSON".into(),
    }
}

/// Returns the JSON body of a successful response, or `None`.
pub(crate) async fn get_json<T: DeserializeOwned>(request: RequestBuilder) -> Option<T> {
    let answer = request.timeout(ANSWER_TIMEOUT).send().await.ok()?;
    if answer.status().is_success() { read_json(answer, LIST_BYTES).await.ok() } else { None }
}

/// Returns the message of an error's JSON body, in the forms that servers use, or `None`.
pub(crate) fn error_message(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let error = &body["error"];
    let texts = [&error["message"], error, &body["message"], &body["detail"]];
    let text = texts.into_iter().find_map(Value::as_str).map(str::trim).filter(|text| !text.is_empty())?;
    Some(ui::shorten(text, MAX_MESSAGE))
}

/// Characters of a server's message that are shown.
const MAX_MESSAGE: usize = 300;

/// Returns the response to an empty `/v1/messages` request: 404 from a server without the route, usually 400 from one
/// with it.
pub(crate) async fn probe_messages(client: &Client, endpoint: &Endpoint) -> Result<Response, reqwest::Error> {
    let request = endpoint.authorize(client.post(format!("{}/v1/messages", endpoint.url))).timeout(ANSWER_TIMEOUT);
    request.header("content-type", "application/json").body("{}").send().await
}

/// Returns whether the server has the route `/v1/messages`.
pub(crate) async fn has_messages_route(client: &Client, endpoint: &Endpoint) -> bool {
    match probe_messages(client, endpoint).await {
        Ok(answer) if is_missing_route(answer.status()) => {
            read_body(answer, ANSWER_BYTES).await.is_ok_and(|body| is_about_models(&body))
        }
        _ => true,
    }
}

/// Returns whether the body of a 404 is about a model rather than the route. An empty request names no model, and
/// llama-swap 250 answers it with 404 and "no model id could be identified".
pub(crate) fn is_about_models(body: &[u8]) -> bool {
    error_message(body).is_some_and(|message| message.to_lowercase().contains("model"))
}

/// Returns whether a status means that the server doesn't have the route.
pub(crate) fn is_missing_route(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED)
}

/// Returns the three numbers of a version such as `0.14.2-rc1`. A part that isn't a number is 0.
pub(crate) fn parse_version(version: &str) -> [u32; 3] {
    let mut numbers = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

/// Returns the failure for a server without `/v1/messages`.
pub(crate) fn too_old(name: &str, since: &str) -> Failure {
    Failure::new(Code::Unavailable, format!("{name} is too old for Claude Code"))
        .cause(format!("it has no /v1/messages route, which was added in {since}"))
        .help("upgrade it to the current release")
}
