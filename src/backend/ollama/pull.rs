//! Downloading a model.

use super::server::Server;
use crate::backend::http;
use crate::backend::starting::Starting;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::base::{
    error::{Code, Failure, Result},
    ui::size,
};

impl Server<'_> {
    /// Downloads a model. Hanging up stops it, and what is there already is kept for the next time.
    pub async fn pull(&self, model: &str, starting: &Starting<'_>) -> Result<()> {
        let failed = |why: String| {
            Failure::new(Code::Unavailable, format!("{model} could not be pulled"))
                .why(why)
                .help(format!("check the name and the network; ollama pull {model} goes on where this stopped"))
        };
        let broken = |error: reqwest::Error| failed(http::in_words(&error));
        let request = self.client.post(format!("{}/api/pull", self.url)).json(&json!({"model": model, "stream": true}));
        let mut answer = request.send().await.map_err(broken)?;
        let mut download = Download::default();
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(broken)? {
            text.extend_from_slice(&chunk);
            while let Some(end) = text.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                let Ok(line) = serde_json::from_slice::<Value>(&line) else {
                    continue;
                };
                // An error comes as a line, under a status that says all is well.
                if let Some(error) = line["error"].as_str() {
                    return Err(failed(error.to_owned()));
                }
                if line["status"] == "success" {
                    return Ok(());
                }
                let (fraction, detail) = download.line(&line);
                starting.tell(&format!("pulling {model}"), fraction, detail);
            }
        }
        // An answer with an error's status is one line without an end.
        let last: Value = serde_json::from_slice(&text).unwrap_or_default();
        Err(failed(last["error"].as_str().unwrap_or("the server ended the download early").to_owned()))
    }
}

/// How far a download is.
#[derive(Default)]
struct Download {
    /// Bytes of each layer, complete and in all: a line tells of one layer only.
    layers: BTreeMap<String, (u64, u64)>,
    /// When the first bytes came, and how many were there already.
    since: Option<(Instant, u64)>,
}

impl Download {
    /// The fraction that has come, where it is known, and words for the user.
    fn line(&mut self, line: &Value) -> (Option<f32>, String) {
        let (Some(digest), Some(total)) = (line["digest"].as_str(), line["total"].as_u64()) else {
            return (None, line["status"].as_str().unwrap_or_default().to_owned());
        };
        // A layer that has only just begun has no `completed` yet.
        let completed = line["completed"].as_u64().unwrap_or(0);
        self.layers.insert(digest.to_owned(), (completed, total));
        let completed = self.layers.values().map(|(completed, _)| completed).sum();
        let total = self.layers.values().map(|(_, total)| total).sum();
        let (since, before) = *self.since.get_or_insert((Instant::now(), completed));
        let fraction = completed as f64 / u64::max(total, 1) as f64;
        (Some(fraction as f32), progress(completed, total, completed.saturating_sub(before), since.elapsed()))
    }
}

/// Bytes, and once it can be told the rate and the time left.
fn progress(completed: u64, total: u64, fresh: u64, elapsed: Duration) -> String {
    let done = format!("{} of {}", size(completed), size(total));
    if fresh == 0 || elapsed < Duration::from_millis(500) {
        return done;
    }
    let rate = fresh as f64 / elapsed.as_secs_f64();
    let left = Duration::from_secs((total.saturating_sub(completed) as f64 / rate) as u64);
    format!("{done}, {}/s, {} left", size(rate as u64), humantime::format_duration(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_added_up() {
        let mut download = Download::default();
        let mut line = |digest: &str, total: u64, completed: Option<u64>| {
            download.line(&json!({"status": "pulling", "digest": digest, "total": total, "completed": completed}))
        };
        assert_eq!(line("a", 3_000_000_000, None), (Some(0.0), "0 kB of 3.0 GB".into()));
        assert_eq!(line("a", 3_000_000_000, Some(3_000_000_000)).0, Some(1.0));
        // Not back to nothing for the next one.
        assert_eq!(line("b", 1_000_000_000, Some(0)).0, Some(0.75));
    }

    #[test]
    fn other_lines_are_passed_on() {
        assert_eq!(Download::default().line(&json!({"status": "pulling manifest"})), (None, "pulling manifest".into()));
    }

    #[test]
    fn bytes_rate_and_time_left() {
        let shown = progress(1_500_000_000, 4_000_000_000, 1_000_000_000, Duration::from_secs(10));
        assert_eq!(shown, "1.5 GB of 4.0 GB, 100 MB/s, 25s left");
    }

    #[test]
    fn a_rate_is_not_made_up() {
        assert_eq!(progress(400, 1_000, 0, Duration::from_secs(10)), "0 kB of 1 kB");
        assert_eq!(progress(400_000, 1_000_000, 400_000, Duration::from_millis(1)), "400 kB of 1 MB");
    }
}
