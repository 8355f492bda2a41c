//! HTTP clients, waiting until a server is up, and the routes that several kinds use.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, RequestBuilder, Response, StatusCode, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{
    address::is_remote,
    plan::Endpoint,
    starting::{Health, StartError, Starting},
};
use crate::base::error::{Code, Failure};

/// The first and the longest pause between two health checks of a starting backend.
const POLL_PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
/// The timeout of requests that a server answers immediately.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The timeout of requests whose answer is only listed.
pub(crate) const LIST_TIMEOUT: Duration = Duration::from_secs(3);

/// Returns a client for servers on this machine, which ignores the user's proxies.
pub(crate) fn client() -> Client {
    // Loading the system's certificates would delay the start.
    builder().no_proxy().tls_certs_only([]).build().expect("a client without certificates can always be built")
}

/// Returns a client for the server at `url`, which uses the user's proxies if the server is remote.
pub(crate) fn client_for(url: &str) -> Client {
    let reach = || if is_remote(url) { builder() } else { builder().no_proxy() };
    let secure = url.starts_with("https:").then(|| reach().build().ok()).flatten();
    // On a machine without certificates the https request itself then reports the error.
    secure.unwrap_or_else(|| {
        reach().tls_certs_only([]).build().expect("a client without certificates can always be built")
    })
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
/// of the start.
pub(crate) async fn wait_until_up(starting: &Starting<'_>, look: impl AsyncFn() -> Health) -> Result<(), StartError> {
    let mut pause = POLL_PAUSES.0;
    loop {
        match look().await {
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

/// Returns the JSON body of a successful response, or `None`.
pub(crate) async fn get_json<T: DeserializeOwned>(request: RequestBuilder) -> Option<T> {
    let answer = request.timeout(ANSWER_TIMEOUT).send().await.ok()?;
    if answer.status().is_success() { answer.json().await.ok() } else { None }
}

/// A model in the answer of `/v1/models`, with the extra fields of several servers.
#[derive(Deserialize)]
pub(crate) struct ModelEntry {
    pub id: String,
    /// Tokens of context, from vLLM and SGLang.
    pub max_model_len: Option<u32>,
    /// From llama.cpp.
    #[serde(default)]
    meta: Value,
    /// From llama-server's router.
    #[serde(default)]
    pub status: Value,
}

/// The answer of `/v1/models`.
#[derive(Deserialize)]
pub(crate) struct ModelList {
    pub data: Vec<ModelEntry>,
}

impl ModelEntry {
    /// Returns its context in tokens.
    pub(crate) fn context(&self) -> Option<u32> {
        self.max_model_len.or(self.tokens("n_ctx"))
    }

    /// Returns the tokens that it was trained for.
    pub(crate) fn trained(&self) -> Option<u32> {
        self.tokens("n_ctx_train")
    }

    fn tokens(&self, key: &str) -> Option<u32> {
        self.meta[key].as_u64().and_then(|tokens| tokens.try_into().ok())
    }
}

/// Returns the request for the server's models.
pub(crate) fn models_request(client: &Client, endpoint: &Endpoint) -> RequestBuilder {
    client.get(format!("{}/v1/models", endpoint.url)).bearer_auth(&endpoint.token)
}

/// Returns the models that a server lists, or `None` if it lists none.
pub(crate) async fn models(client: &Client, endpoint: &Endpoint) -> Option<Vec<ModelEntry>> {
    get_json(models_request(client, endpoint)).await.map(|ModelList { data }| data)
}

/// Returns the response to an empty `/v1/messages` request: 404 from a server without the route, usually 400 from one
/// with it.
pub(crate) async fn probe_messages(client: &Client, endpoint: &Endpoint) -> Result<Response, reqwest::Error> {
    let request =
        client.post(format!("{}/v1/messages", endpoint.url)).bearer_auth(&endpoint.token).timeout(ANSWER_TIMEOUT);
    request.header("content-type", "application/json").body("{}").send().await
}

/// Returns whether the server has the route `/v1/messages`.
pub(crate) async fn has_messages_route(client: &Client, endpoint: &Endpoint) -> bool {
    let answer = probe_messages(client, endpoint).await;
    !answer.is_ok_and(|answer| is_missing_route(answer.status()))
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
