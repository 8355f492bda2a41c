//! Live figures of a running backend, such as tokens/s and context used.
//!
//! They are optional: a server that doesn't answer in time is left out. During a long prompt a server answers only
//! between two batches.

use std::time::Duration;

use tokio::time::timeout;

const FIGURES_TIMEOUT: Duration = Duration::from_secs(1);
/// The fewest tokens and seconds to compute a rate from. With less, the result would be noise.
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
    /// The names of its loaded models, if it tells.
    pub loaded: Option<Vec<String>>,
}

/// Returns an answer that arrives within the timeout, or `None`.
pub(crate) async fn answer_in_time<T>(answer: impl Future<Output = Option<T>>) -> Option<T> {
    timeout(FIGURES_TIMEOUT, answer).await.ok().flatten()
}

/// Returns tokens/s, or `None` if there is too little to compute it from.
pub(crate) fn rate(tokens: f64, seconds: f64) -> Option<f64> {
    (tokens >= MIN_TOKENS && seconds >= MIN_SECONDS).then(|| tokens / seconds).filter(|rate| rate.is_finite())
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
