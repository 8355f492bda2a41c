//! Asking servers over HTTP: the clients, the wait until one answers, and the routes they have in common.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, RequestBuilder, Response, StatusCode, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{
    address::is_remote,
    plan::Endpoint,
    starting::{Health, Starting, Unfit},
};
use crate::base::error::{Code, Failure};

/// The first pause between two looks at a backend that is coming up, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
/// How long an answer may take that should come at once.
pub const PROMPT: Duration = Duration::from_secs(10);
/// The same where the answer is only for a list.
pub const LOOK: Duration = Duration::from_secs(3);

/// A client for servers on this machine. The user's proxies are for the network beyond it.
pub fn client() -> Client {
    // No certificates: loading the system's takes longer than a start may.
    basic().no_proxy().tls_certs_only([]).build().expect("a client without certificates needs nothing from outside")
}

/// A client for the server at `url`; for one elsewhere by the user's proxies, if there are any.
pub fn client_for(url: &str) -> Client {
    let reach = || if is_remote(url) { basic() } else { basic().no_proxy() };
    let secure = url.starts_with("https:").then(|| reach().build().ok()).flatten();
    // On a machine without any certificates a request over https then says what is wrong.
    secure.unwrap_or_else(|| reach().tls_certs_only([]).build().expect("a client without certificates needs nothing"))
}

fn basic() -> ClientBuilder {
    // Fails only when there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Where a server sends us is not where the user said that requests go.
    Client::builder().connect_timeout(PROMPT).redirect(Policy::none())
}

/// What went wrong, to its cause: the outermost words say only that something did.
pub fn in_words(error: &reqwest::Error) -> String {
    let mut words = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words.push(cause.to_string());
        source = cause.source();
    }
    // Each mostly repeats the next.
    words.pop().unwrap_or_else(|| if error.is_timeout() { "no answer in time".into() } else { error.to_string() })
}

/// Looks again and again until the backend is up. Most lines of its log tell of a step, so each of them brings the next
/// look forward.
pub async fn until_up(starting: &Starting<'_>, look: impl AsyncFn() -> Health) -> Result<(), Unfit> {
    let mut pause = PAUSES.0;
    loop {
        match look().await {
            Health::Up => return Ok(()),
            Health::Stranger => return Err(Unfit::Stranger),
            Health::Loading => starting.tell("loading the model", None, ""),
            Health::Silent => {}
        }
        sleep(PAUSES.0).await;
        pause = match timeout(pause, starting.line_came.notified()).await {
            Ok(()) => PAUSES.0,
            Err(_) => PAUSES.1.min(pause * 2),
        };
    }
}

/// The answer to a request as JSON; `None` for anything but a success.
pub async fn json<T: DeserializeOwned>(request: RequestBuilder) -> Option<T> {
    let answer = request.timeout(PROMPT).send().await.ok()?;
    if answer.status().is_success() { answer.json().await.ok() } else { None }
}

/// A model as servers list it at `/v1/models`, each with words of its own.
#[derive(Deserialize)]
pub struct Offered {
    pub id: String,
    /// vLLM's and SGLang's: tokens of context.
    pub max_model_len: Option<u32>,
    /// llama.cpp's.
    #[serde(default)]
    meta: Value,
    /// That of llama-server's router.
    #[serde(default)]
    pub status: Value,
}

#[derive(Deserialize)]
pub struct Offers {
    pub data: Vec<Offered>,
}

impl Offered {
    /// Tokens of context that it has.
    pub fn context(&self) -> Option<u32> {
        self.max_model_len.or(self.tokens("n_ctx"))
    }

    /// Tokens that it was trained for.
    pub fn trained(&self) -> Option<u32> {
        self.tokens("n_ctx_train")
    }

    fn tokens(&self, key: &str) -> Option<u32> {
        self.meta[key].as_u64().and_then(|tokens| tokens.try_into().ok())
    }
}

pub fn models_route(client: &Client, endpoint: &Endpoint) -> RequestBuilder {
    client.get(format!("{}/v1/models", endpoint.url)).bearer_auth(&endpoint.token)
}

/// The models that a server has; `None` for one without a list.
pub async fn models(client: &Client, endpoint: &Endpoint) -> Option<Vec<Offered>> {
    json(models_route(client, endpoint)).await.map(|Offers { data }| data)
}

/// What an empty request to the route that Claude Code speaks to is answered: 404 by a server that does not have it, and
/// most often 400 by one that has.
pub async fn messages_route(client: &Client, endpoint: &Endpoint) -> Result<Response, reqwest::Error> {
    let request = client.post(format!("{}/v1/messages", endpoint.url)).bearer_auth(&endpoint.token).timeout(PROMPT);
    request.header("content-type", "application/json").body("{}").send().await
}

/// Whether the server has that route.
pub async fn speaks_messages(client: &Client, endpoint: &Endpoint) -> bool {
    let answer = messages_route(client, endpoint).await;
    !answer.is_ok_and(|answer| is_absent(answer.status()))
}

/// What a server says of a route that it does not have.
pub fn is_absent(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED)
}

/// The three numbers of a release, such as `0.14.2-rc1`; what is no number counts as 0.
pub fn release(version: &str) -> [u32; 3] {
    let mut numbers = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

/// The failure for a server without that route.
pub fn too_old(name: &str, since: &str) -> Failure {
    Failure::new(Code::Unavailable, format!("{name} is too old for Claude Code"))
        .why(format!("it has no /v1/messages, which has been there since {since}"))
        .help("install a current release")
}
