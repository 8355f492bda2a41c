//! Live figures of `llama-server`, from its `/slots` and `/metrics`.

use reqwest::Client;
use serde::Deserialize;

use crate::backend::{
    figures::{Figures, answer_in_time},
    http,
    plan::Endpoint,
};

/// A slot, which holds one conversation.
#[derive(Deserialize)]
struct Slot {
    #[serde(default)]
    is_processing: bool,
    /// Absent until the first prompt.
    #[serde(default)]
    n_prompt_tokens: u64,
}

/// Returns the figures of the main model.
pub(crate) async fn figures(client: &Client, endpoint: &Endpoint, models: &[String]) -> Figures {
    // A router has separate figures for each model.
    let which = match models {
        [_, _, ..] => format!("?model={}", models[0]),
        _ => String::new(),
    };
    let ask = |route: &str| client.get(format!("{}/{route}{which}", endpoint.url)).bearer_auth(&endpoint.token);
    let slots = answer_in_time(http::get_json::<Vec<Slot>>(ask("slots")));
    let metrics =
        answer_in_time(async { ask("metrics").send().await.ok()?.error_for_status().ok()?.text().await.ok() });
    let (slots, metrics) = tokio::join!(slots, metrics);
    let metrics = metrics.unwrap_or_default();
    Figures {
        used: slots.as_ref().map(|slots| slots.iter().map(|slot| slot.n_prompt_tokens).sum()),
        busy: slots.as_ref().map(|slots| slots.iter().any(|slot| slot.is_processing)),
        read_rate: rate(&metrics, "llamacpp:prompt_tokens_total", "llamacpp:prompt_seconds_total"),
        write_rate: rate(&metrics, "llamacpp:tokens_predicted_total", "llamacpp:tokens_predicted_seconds_total"),
        model: None,
    }
}

/// Returns tokens/s since the start. llama-server's own rates cover only the time since the last query.
fn rate(metrics: &str, tokens: &str, seconds: &str) -> Option<f64> {
    let number = |name: &str| {
        let found = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.and_then(|number| number.trim().parse::<f64>().ok())
    };
    let (tokens, seconds) = (number(tokens)?, number(seconds)?);
    (seconds > 0.0).then(|| tokens / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_unknown_without_elapsed_time() {
        let rate = |metrics: &str| rate(metrics, "a_total", "a_seconds_total");
        assert_eq!(rate("# HELP a_total x\na_total 10\na_seconds_total 0.5\n"), Some(20.0));
        assert_eq!(rate("a_total 0\na_seconds_total 0\n"), None);
        assert_eq!(rate("a_total 10\n"), None);
        assert_eq!(rate(""), None);
    }
}
