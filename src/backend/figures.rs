//! Live figures of a running backend, such as tokens/s and context used.
//!
//! They are optional: a server that doesn't answer in time is left out. During a long prompt a server answers only
//! between two batches.

use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use tokio::time::timeout;

use super::{metrics::Metrics, plan::Endpoint};

const FIGURES_TIMEOUT: Duration = Duration::from_secs(1);
/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 1_000_000;
/// The fewest tokens and seconds from which a speed is computed. From less it would be chance.
const MIN_TOKENS: f64 = 20.0;
const MIN_SECONDS: f64 = 0.1;

/// The figures; `None` stands for unknown.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figures {
    /// Tokens of the main model's context that are in use.
    pub used: Option<u64>,
    /// Whether it is working on a request.
    pub busy: Option<bool>,
    /// Prefill and generation rates since it started, in tokens/s.
    pub read_rate: Option<f64>,
    pub write_rate: Option<f64>,
    /// Bytes of its loaded models, and how many of them are in GPU memory.
    pub model: Option<(u64, u64)>,
}

/// Returns an answer that arrives within the timeout, or `None`.
pub(crate) async fn answer_in_time<T>(answer: impl Future<Output = Option<T>>) -> Option<T> {
    timeout(FIGURES_TIMEOUT, answer).await.ok().flatten()
}

/// Returns tokens/s, or `None` if there is too little to compute it from.
pub(crate) fn rate(tokens: f64, seconds: f64) -> Option<f64> {
    (tokens >= MIN_TOKENS && seconds >= MIN_SECONDS).then(|| tokens / seconds).filter(|rate| rate.is_finite())
}

/// A slot of llama-server, which holds one conversation.
#[derive(Deserialize)]
struct Slot {
    #[serde(default)]
    is_processing: bool,
    /// Absent until the first prompt.
    #[serde(default)]
    n_prompt_tokens: u64,
}

/// Returns the figures of any server that has `/metrics` in the text format of Prometheus, or llama-server's `/slots`.
pub(crate) async fn of_server(client: &Client, endpoint: &Endpoint, models: &[String]) -> Figures {
    // llama-server's router has separate figures for each model.
    let which = match models {
        [_, _, ..] => format!("?model={}", models[0]),
        _ => String::new(),
    };
    let ask = |route: &str| client.get(format!("{}/{route}{which}", endpoint.url)).bearer_auth(&endpoint.token);
    let (slots, metrics) = tokio::join!(answer_in_time(text(ask("slots"))), answer_in_time(text(ask("metrics"))));
    let figures = metrics.map(|text| Metrics::parse(&text).figures()).unwrap_or_default();
    match slots.and_then(|text| serde_json::from_str::<Vec<Slot>>(&text).ok()) {
        Some(slots) => Figures {
            used: Some(slots.iter().map(|slot| slot.n_prompt_tokens).sum()),
            busy: Some(slots.iter().any(|slot| slot.is_processing)),
            ..figures
        },
        None => figures,
    }
}

/// Returns the body of a successful answer, or `None` if it is too large.
async fn text(request: RequestBuilder) -> Option<String> {
    let mut answer = request.send().await.ok()?.error_for_status().ok()?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_needs_enough_tokens_and_time() {
        assert_eq!(rate(20.0, 0.1), Some(200.0));
        for (tokens, seconds) in [(19.0, 1.0), (1000.0, 0.09), (0.0, 0.0), (f64::NAN, 1.0), (f64::INFINITY, 1.0)] {
            assert_eq!(rate(tokens, seconds), None, "{tokens} in {seconds} s");
        }
    }
}
