//! Live figures of a running backend, such as tokens/s and context used.
//!
//! They are optional: a server that doesn't answer in time is left out. During a long prompt a server answers only
//! between two batches.

use std::time::Duration;

use tokio::time::timeout;

const FIGURES_TIMEOUT: Duration = Duration::from_secs(1);

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
