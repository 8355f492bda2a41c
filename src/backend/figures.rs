//! How a backend that is up is getting on, as far as its server tells: a word on the side, which is done without where it
//! does not come at once. A server in the middle of a long prompt answers between two batches of it.

use std::time::Duration;

use tokio::time::timeout;

const ASIDE: Duration = Duration::from_secs(1);

/// What is `None` is not known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// Tokens that the conversation takes of the context; the main model's.
    pub used: Option<u64>,
    /// Whether it is at work on an answer.
    pub busy: Option<bool>,
    /// Tokens a second since it started: of prompts that it read, and of answers that it wrote.
    pub read_rate: Option<f64>,
    pub write_rate: Option<f64>,
    /// Bytes of its models, and how many of them are on a graphics card.
    pub model: Option<(u64, u64)>,
}

/// Returns an answer that comes at once, or `None`.
pub async fn soon<T>(answer: impl Future<Output = Option<T>>) -> Option<T> {
    timeout(ASIDE, answer).await.ok().flatten()
}
