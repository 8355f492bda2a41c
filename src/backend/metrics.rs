//! Live figures of any server that has `/metrics`, in the text format of Prometheus, or llama-server's `/slots`.
//!
//! The names are those of vLLM 0.32, SGLang 0.5 and llama.cpp b11434.

use reqwest::{Client, RequestBuilder};
use serde::Deserialize;

use super::{
    figures::{Figures, answer_in_time, rate},
    http,
    plan::Endpoint,
};

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
pub(crate) async fn figures(client: &Client, endpoint: &Endpoint, models: &[String]) -> Figures {
    // llama-server's router has separate figures for each model.
    let which = match models {
        [_, _, ..] => format!("?model={}", models[0]),
        _ => String::new(),
    };
    let ask = |route: &str| endpoint.authorize(client.get(format!("{}/{route}{which}", endpoint.url)));
    let (slots, metrics) = tokio::join!(answer_in_time(text(ask("slots"))), answer_in_time(text(ask("metrics"))));
    let figures = metrics.map(|text| Metrics::parse(&text).figures()).unwrap_or_default();
    match slots.and_then(|text| serde_json::from_str::<Vec<Slot>>(&text).ok()) {
        Some(slots) => Figures {
            used: Some(slots.iter().map(|slot| slot.n_prompt_tokens).fold(0, u64::saturating_add)),
            busy: Some(slots.iter().any(|slot| slot.is_processing)),
            ..figures
        },
        None => figures,
    }
}

/// Returns the body of a successful answer, or `None` if it is too large.
async fn text(request: RequestBuilder) -> Option<String> {
    let answer = request.send().await.ok()?.error_for_status().ok()?;
    String::from_utf8(http::read_body(answer, http::ANSWER_BYTES).await.ok()?).ok()
}

/// The samples of one answer.
struct Metrics<'a> {
    samples: Vec<Sample<'a>>,
}

/// A line `name{label="value",…} number`.
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

impl<'a> Metrics<'a> {
    /// Reads the samples; other lines are ignored.
    fn parse(text: &'a str) -> Self {
        Metrics { samples: text.lines().filter_map(Sample::parse).collect() }
    }

    /// Returns the figures of the server that has the metrics.
    fn figures(&self) -> Figures {
        let known = [self.vllm(), self.sglang(), self.llamacpp()];
        known.into_iter().flatten().next().unwrap_or_default()
    }

    /// vLLM has several engines under data parallelism, each with its own samples.
    fn vllm(&self) -> Option<Figures> {
        let running = self.sum("vllm:num_requests_running")?;
        let prompts = self.sum("vllm:prompt_tokens_total");
        // The hits are counted in tokens; they take no time.
        let hits = self.sum("vllm:prefix_cache_hits_total").unwrap_or(0.0);
        Some(Figures {
            used: self.vllm_used(),
            busy: Some(running > 0.0),
            read_rate: prompts
                .zip(self.sum("vllm:request_prefill_time_seconds_sum"))
                .and_then(|(tokens, seconds)| rate(tokens - hits, seconds)),
            write_rate: self.rate("vllm:generation_tokens_total", "vllm:request_decode_time_seconds_sum"),
            ..Figures::default()
        })
    }

    /// Returns the tokens in vLLM's KV cache: each engine's share of its blocks.
    fn vllm_used(&self) -> Option<u64> {
        let usage = ["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"];
        let usage = usage.iter().find_map(|name| self.sum(name))?;
        let config = self.samples.iter().find(|sample| sample.name == "vllm:cache_config_info")?;
        let number = |label: &str| config.label(label)?.parse::<f64>().ok();
        let blocks = || Some(number("num_gpu_blocks")? * number("block_size")?);
        // Only newer versions know the size in tokens.
        let tokens = number("kv_cache_size_tokens").or_else(blocks)?;
        Some((usage * tokens).round() as u64)
    }

    fn sglang(&self) -> Option<Figures> {
        let running = self.sum("sglang:num_running_reqs")?;
        let used = self
            .sum("sglang:num_used_tokens")
            .or_else(|| Some(self.sum("sglang:token_usage")? * self.sum("sglang:max_total_num_tokens")?));
        Some(Figures {
            used: used.map(|tokens| tokens.round() as u64),
            busy: Some(running > 0.0),
            read_rate: None,
            // The rate of the last seconds; 0 while it is idle.
            write_rate: self.sum("sglang:gen_throughput").filter(|rate| *rate > 0.0),
            ..Figures::default()
        })
    }

    /// llama-server's own rates cover only the time since the last query.
    fn llamacpp(&self) -> Option<Figures> {
        let (prompts, answers) = ("llamacpp:prompt_tokens_total", "llamacpp:tokens_predicted_total");
        self.sum(prompts)?;
        Some(Figures {
            busy: self.sum("llamacpp:requests_processing").map(|running| running > 0.0),
            read_rate: self.rate(prompts, "llamacpp:prompt_seconds_total"),
            write_rate: self.rate(answers, "llamacpp:tokens_predicted_seconds_total"),
            ..Figures::default()
        })
    }

    fn rate(&self, tokens: &str, seconds: &str) -> Option<f64> {
        rate(self.sum(tokens)?, self.sum(seconds)?)
    }

    /// Returns the sum of a metric over its labels.
    fn sum(&self, name: &str) -> Option<f64> {
        let mut values = self.samples.iter().filter(|sample| sample.name == name).map(|sample| sample.value).peekable();
        values.peek()?;
        Some(values.sum())
    }
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim();
        if line.starts_with('#') {
            return None;
        }
        // A label's value may contain spaces and braces.
        let (name, labels, rest) = match (line.find('{'), line.rfind('}')) {
            (Some(open), Some(close)) if open < close => (&line[..open], &line[open + 1..close], &line[close + 1..]),
            _ => {
                let (name, rest) = line.split_once(' ')?;
                (name, "", rest)
            }
        };
        // A time may follow the value.
        let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
        value.is_finite().then_some(Sample { name, labels, value })
    }

    /// Returns the value of a label that needs no escapes.
    fn label(&self, name: &str) -> Option<&'a str> {
        let start = format!("{name}=\"");
        let at = self.labels.match_indices(&start).find(|(at, _)| *at == 0 || self.labels[..*at].ends_with(','))?.0;
        self.labels[at + start.len()..].split('"').next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Figures {
        Metrics::parse(text).figures()
    }

    #[test]
    fn figures_of_vllm_are_summed_over_its_engines() {
        let text = r#"# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a b"} 0.0
vllm:num_requests_running{engine="1",model_name="a b"} 1.0
vllm:kv_cache_usage_perc{engine="0",model_name="a b"} 0.25
vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="1000",num_gpu_blocks_override="None"} 1.0
vllm:prompt_tokens_total{engine="0"} 3000.0
vllm:prefix_cache_hits_total{engine="0"} 1000.0
vllm:request_prefill_time_seconds_sum{engine="0"} 4.0
vllm:generation_tokens_total{engine="0"} 100.0
vllm:request_decode_time_seconds_sum{engine="0"} 5.0
"#;
        let expected = Figures {
            used: Some(4000),
            busy: Some(true),
            read_rate: Some(500.0),
            write_rate: Some(20.0),
            ..Figures::default()
        };
        assert_eq!(read(text), expected);
        // An older name, and no size of the cache.
        let idle = read("vllm:num_requests_running 0\nvllm:gpu_cache_usage_perc 0.5\n");
        assert_eq!((idle.busy, idle.used), (Some(false), None));
    }

    #[test]
    fn figures_of_sglang_and_llamacpp_are_read() {
        let text = "sglang:num_running_reqs{model_name=\"m\"} 2.0\nsglang:gen_throughput{model_name=\"m\"} 30.5\n\
                    sglang:token_usage{model_name=\"m\"} 0.5\nsglang:max_total_num_tokens{model_name=\"m\"} 8000\n";
        let found = read(text);
        assert_eq!((found.busy, found.used, found.write_rate), (Some(true), Some(4000), Some(30.5)));
        let text = "llamacpp:prompt_tokens_total 1000\nllamacpp:prompt_seconds_total 10 1764504000\n\
                    llamacpp:tokens_predicted_total 10\nllamacpp:tokens_predicted_seconds_total 1\n\
                    llamacpp:requests_processing 1\n";
        let found = read(text);
        // Ten tokens are too few for a speed.
        assert_eq!((found.busy, found.read_rate, found.write_rate), (Some(true), Some(100.0), None));
    }

    #[test]
    fn anything_else_has_no_figures() {
        for text in
            ["", "<html>", "}{ 1", "vllm:num_requests_running NaN", "vllm:num_requests_running{a=\"}", "other 1"]
        {
            assert_eq!(read(text), Figures::default(), "{text}");
        }
    }
}
