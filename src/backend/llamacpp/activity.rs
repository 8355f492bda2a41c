//! What llama-server says about its requests: in its log, at the default verbosity, and at `/slots`.
//!
//! The lines are those of b11434. It logs the progress of a prompt once a batch, after 3 seconds, and that of an answer
//! every 3 seconds, after 100 tokens. In between, `/slots` answers, though only between two batches. The router puts the
//! port of the server in brackets in front of each line.

use std::time::Duration;

use reqwest::Client;
use serde::Deserialize;

use crate::backend::{
    activity::{ActivityEvent, RequestKey, Step},
    http,
    plan::Endpoint,
};

/// How long an answer may take: a batch takes minutes on a slow processor.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// Returns what a line of the log says about a request.
///
/// `… I slot print_timing: id  0 | task 7 | prompt processing, n_tokens =   4096, progress = 0.17, t =   3.18 s / 1288.18
/// tokens per second`
pub(crate) fn parse(line: &str) -> Option<ActivityEvent> {
    let (_, rest) = line.split_once(" | task ")?;
    let (number, text) = rest.split_once(" | ")?;
    let server = line.strip_prefix('[').and_then(|rest| rest.split_once(']')?.0.trim().parse().ok()).unwrap_or(0);
    let step = step(text.trim_start())?;
    // A request that isn't chosen yet has the number -1.
    Some(ActivityEvent { request: RequestKey { server, number: number.parse().unwrap_or(u64::MAX) }, step })
}

fn step(text: &str) -> Option<Step> {
    let number = |name: &str| number_after::<u64>(text, name);
    let decimal = |name: &str| number_after::<f64>(text, name);
    if text.starts_with("prompt processing,") {
        Some(Step::Reading { tokens: number("n_tokens =")?, fraction: decimal("progress =")?, rate: decimal(" s /")? })
    } else if text.starts_with("n_gen =") {
        Some(Step::Writing { tokens: number("n_gen =")?, rate: decimal("tg_3s =").or_else(|| decimal("tg ="))? })
    } else if text.starts_with("prompt eval time =") {
        Some(Step::Read { tokens: number(" ms /")? })
    } else if text.starts_with("eval time =") {
        Some(Step::Written { tokens: number(" ms /")? })
    } else if text.starts_with("stop processing:") {
        Some(Step::Ended { kept: number("n_tokens =")?, is_whole: number("truncated =")? == 0 })
    } else if text.starts_with("processing task,") {
        Some(Step::Begun)
    } else if text.starts_with("selected slot by LCP similarity,") {
        Some(Step::Chosen { share: decimal("f_sim_best =")? })
    } else if text.starts_with("selected slot by LRU,") {
        Some(Step::Chosen { share: 0.0 })
    } else {
        None
    }
}

/// Returns the number after `name`.
fn number_after<T: std::str::FromStr>(text: &str, name: &str) -> Option<T> {
    let rest = text[text.find(name)? + name.len()..].trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// A slot that works on a request.
#[derive(Deserialize)]
struct Slot {
    is_processing: bool,
    id_task: u64,
    n_prompt_tokens_processed: u64,
    n_prompt_tokens_cache: u64,
    #[serde(default)]
    next_token: Vec<NextToken>,
}

#[derive(Deserialize)]
struct NextToken {
    n_decoded: u64,
}

/// Asks the server about the request that it is working on. It answers between two batches.
pub(crate) async fn ask(client: &Client, endpoint: &Endpoint) -> Option<ActivityEvent> {
    let request = endpoint.authorize(client.get(format!("{}/slots", endpoint.url))).timeout(ANSWER_TIMEOUT);
    let answer = request.send().await.ok()?.error_for_status().ok()?;
    busy_slot(&http::read_body(answer, http::ANSWER_BYTES).await.ok()?)
}

fn busy_slot(body: &[u8]) -> Option<ActivityEvent> {
    // Without its first request a slot has only some of the fields.
    let slots: Vec<serde_json::Value> = serde_json::from_slice(body).ok()?;
    let slots = slots.into_iter().filter_map(|slot| serde_json::from_value::<Slot>(slot).ok());
    let busy = slots.into_iter().find(|slot| slot.is_processing)?;
    Some(ActivityEvent {
        request: RequestKey { server: 0, number: busy.id_task },
        step: Step::Counted {
            cached: busy.n_prompt_tokens_cache,
            read: busy.n_prompt_tokens_processed,
            written: busy.next_token.first().map_or(0, |next| next.n_decoded),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The log of two requests of a llama-server b11434, shortened.
    const LOG: &[(&str, Step)] = &[
        (
            "0.03.271.773 I slot get_availabl: id  0 | task -1 | selected slot by LRU, t_last = -1",
            Step::Chosen { share: 0.0 },
        ),
        ("0.03.272.030 I slot launch_slot_: id  0 | task 0 | processing task, is_child = 0", Step::Begun),
        (
            "0.06.451.903 I slot print_timing: id  0 | task 0 | prompt processing, n_tokens =   4096, progress = 0.17, \
             t =   3.18 s / 1288.18 tokens per second",
            Step::Reading { tokens: 4096, fraction: 0.17, rate: 1288.18 },
        ),
        (
            "0.39.595.601 I slot print_timing: id  0 | task 0 | n_gen =    100, tg =  14.88 t/s, tg_3s =  15.03 t/s",
            Step::Writing { tokens: 100, rate: 15.03 },
        ),
        (
            "0.43.462.777 I slot print_timing: id  0 | task 0 | prompt eval time =   29671.72 ms / 24014 tokens (    \
             1.24 ms per token,   809.32 tokens per second)",
            Step::Read { tokens: 24_014 },
        ),
        (
            "0.43.462.801 I slot print_timing: id  0 | task 0 |        eval time =   10518.93 ms /   300 tokens (   \
             35.18 ms per token,    28.42 tokens per second)",
            Step::Written { tokens: 300 },
        ),
        (
            "0.43.466.864 I slot      release: id  0 | task 0 | stop processing: n_tokens = 24313, truncated = 0",
            Step::Ended { kept: 24_313, is_whole: true },
        ),
        (
            "0.43.607.821 I slot get_availabl: id  0 | task -1 | selected slot by LCP similarity, f_sim_best = 0.982 \
             (> 0.100 thold), f_keep = 0.988",
            Step::Chosen { share: 0.982 },
        ),
    ];

    #[test]
    fn log_lines_of_a_request_are_understood() {
        for (line, step) in LOG {
            assert_eq!(parse(line).map(|event| event.step), Some(*step), "{line}");
            let routed = parse(&format!("[40123] {line}")).expect("the same line");
            assert_eq!((routed.request.server, routed.step), (40_123, *step), "{line}");
        }
        assert_eq!(parse(LOG[1].0).map(|event| event.request), Some(RequestKey { server: 0, number: 0 }));
    }

    #[test]
    fn other_log_lines_say_nothing_about_a_request() {
        for line in [
            "0.43.462.803 I slot print_timing: id  0 | task 0 |    graphs reused =        298",
            "0.43.462.802 I slot print_timing: id  0 | task 0 |       total time =   40190.65 ms / 24314 tokens",
            "0.43.608.274 W slot   operator(): id  0 | task 312 | need to evaluate at least 1 token (n_past = 24014)",
            "0.02.226.806 I srv  llama_server: model loaded",
            "0.03.271.773 I slot get_availabl: id  0 | task -1 | selected slot by id (0)",
            " | task  | ",
            "x | task 1 | prompt processing, n_tokens = many",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn busy_slot_is_counted() {
        let busy = r#"{"id": 0, "is_processing": true, "id_task": 312, "n_prompt_tokens": 9, "next_token":
            [{"n_decoded": 7}], "n_prompt_tokens_processed": 1, "n_prompt_tokens_cache": 24013}"#;
        let event = busy_slot(format!(r#"[{{"id": 1, "is_processing": false}}, {busy}]"#).as_bytes());
        let step = Step::Counted { cached: 24_013, read: 1, written: 7 };
        assert_eq!(event, Some(ActivityEvent { request: RequestKey { server: 0, number: 312 }, step }));
        assert_eq!(busy_slot(br#"[{"id": 0, "is_processing": false}]"#), None);
        assert_eq!(busy_slot(b"{}"), None);
    }
}
