//! HTTP clients, waiting until a server is up, and the routes that several kinds use.

use std::{io, time::Duration};

use reqwest::{Client, ClientBuilder, RequestBuilder, Response, StatusCode, redirect::Policy};
use serde::de::DeserializeOwned;
use serde_json::{Value, error::Category};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    certificates,
    plan::Endpoint,
    proxy,
    starting::{Health, Presence, StartError, Starting},
};
use crate::base::{
    error::{Code, Failure},
    process::Listener,
    ui,
    variables::Variables,
};

/// The shortest and the longest time between two health checks of a starting backend. With the time of the request,
/// readiness is noticed within 50 ms.
const POLL_INTERVALS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(40));
/// The longest time while nobody listens yet. Looking costs little, and a stopped Claude Code waits for the listener.
const LISTEN_INTERVAL: Duration = Duration::from_millis(10);
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
    client_with(builder, url)
}

/// Like [`client_for`], but closes each connection after the answer. llama-server has few threads, and each open
/// connection takes one.
pub(crate) fn figures_client(url: &str) -> Client {
    client_with(|| builder().pool_max_idle_per_host(0), url)
}

fn client_with(builder: impl Fn() -> ClientBuilder, url: &str) -> Client {
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
    let (shortest, longest) = POLL_INTERVALS;
    // `least` is the time in which log lines don't matter.
    let (mut least, mut interval) = (shortest, shortest);
    loop {
        let health = match (starting.listener)() {
            Listener::Nobody => {
                (least, interval) = (shortest, interval.min(LISTEN_INTERVAL));
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
        let looked = Instant::now();
        sleep(least).await;
        // It grows while there are log lines, because a server may log each of our requests.
        least = match timeout_at(looked + interval, starting.new_log_line.notified()).await {
            Ok(()) => longest.min(least * 2),
            Err(_) => shortest,
        };
        interval = longest.min(interval * 2);
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

/// How long a server that lclaude didn't start may take to answer a check. It may be busy for longer.
const PRESENCE_TIMEOUT: Duration = Duration::from_secs(3);

/// Returns what the answer to `request` says about a server that lclaude didn't start. `is_serving` returns whether a
/// JSON answer says that it has the models; any other answer comes from another program.
pub(crate) async fn presence<T: DeserializeOwned>(
    request: RequestBuilder,
    is_serving: impl FnOnce(T) -> bool,
) -> Presence {
    let answer = match request.timeout(PRESENCE_TIMEOUT).send().await {
        Ok(answer) if answer.status().is_server_error() || answer.status() == StatusCode::TOO_MANY_REQUESTS => {
            return Presence::Busy;
        }
        Ok(answer) if answer.status().is_success() => answer,
        Ok(_) => return Presence::Gone,
        Err(error) if is_refused(&error) => return Presence::Gone,
        Err(_) => return Presence::Busy,
    };
    match read_body(answer, LIST_BYTES).await {
        Ok(body) if serde_json::from_slice(&body).is_ok_and(is_serving) => Presence::Serving,
        Ok(_) => Presence::Gone,
        Err(_) => Presence::Busy,
    }
}

/// Returns whether nobody listens at the address.
fn is_refused(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            return true;
        }
        source = cause.source();
    }
    false
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

#[cfg(test)]
mod tests {
    use std::{cell::Cell, net::TcpListener};

    use support::server;
    use tokio::sync::{Notify, mpsc};

    use super::*;

    /// Waits in virtual time for a backend that is up after `ready_after`. Returns how late that was noticed, and how
    /// often the backend was asked. `logs`: whether it logs each request.
    async fn wait(ready_after: Duration, logs: bool) -> (Duration, u32) {
        let (client, endpoint) = (client(), Endpoint::new(String::new(), 0, String::new()));
        let (variables, new_log_line) = (Variables::read(), Notify::new());
        let starting = Starting {
            client: &client,
            endpoint: &endpoint,
            variables: &variables,
            progress: mpsc::unbounded_channel().0,
            new_log_line: &new_log_line,
            may_pull: false,
            note: &|_| Box::pin(std::future::ready(())),
            listener: &|| Listener::Ours,
        };
        let (ready_at, asked) = (Instant::now() + ready_after, Cell::new(0));
        let look = async || {
            asked.set(asked.get() + 1);
            if logs {
                new_log_line.notify_one();
            }
            if Instant::now() >= ready_at { Health::Up } else { Health::Loading }
        };
        assert!(wait_until_up(&starting, look).await.is_ok());
        (ready_at.elapsed(), asked.get())
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_is_noticed_within_50_ms() {
        for logs in [false, true] {
            for ready_after in (0..1500).map(Duration::from_millis) {
                let (late, _) = wait(ready_after, logs).await;
                assert!(late <= Duration::from_millis(50), "{late:?} late after {ready_after:?}");
            }
            let (_, asked) = wait(Duration::from_secs(60), logs).await;
            assert!(asked <= 60 * 25 + 5, "asked {asked} times in a minute");
        }
    }

    #[tokio::test]
    async fn only_a_refusal_or_a_wrong_answer_means_gone() {
        let ask = async |url: &str| presence(client().get(url), |body: Value| body["models"] == 1).await;
        for (status, body, expected) in [
            ("200 OK", "{\"models\": 1}", Presence::Serving),
            ("200 OK", "{\"models\": 0}", Presence::Gone),
            ("200 OK", "another program", Presence::Gone),
            ("404 Not Found", "{}", Presence::Gone),
            ("503 Service Unavailable", "{}", Presence::Busy),
            ("429 Too Many Requests", "{}", Presence::Busy),
        ] {
            let url = server::start(move |_| (status, body));
            assert_eq!(ask(&url).await, expected, "{status} {body}");
        }
        // The system accepts the connection, but nobody answers.
        let deaf = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", deaf.local_addr().expect("an address"));
        assert_eq!(ask(&url).await, Presence::Busy);
        drop(deaf);
        assert_eq!(ask(&url).await, Presence::Gone);
    }
}
