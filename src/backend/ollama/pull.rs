//! Downloads a model.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{plan::client_command, server::Server};
use crate::{
    backend::{
        http::{self, BodyLines},
        starting::Starting,
    },
    base::{
        error::{Code, Failure, Result},
        ui::{self, format_bytes},
    },
};

/// Characters of an error message that are shown.
const MAX_ERROR: usize = 300;

impl Server<'_> {
    /// Downloads a model. Closing the connection stops it; the downloaded part is kept for the next attempt.
    ///
    /// # Errors
    /// `Unavailable` if the download fails.
    pub(crate) async fn pull(&self, model: &str, starting: &Starting<'_>) -> Result<()> {
        let failed = |why: String| {
            Failure::new(Code::Unavailable, format!("{model} could not be downloaded"))
                .cause(why)
                .help(format!("{}  # resumes the download", client_command(model, &format!("pull {model}"))))
                .help("check the name and the network")
        };
        let broken = |error: reqwest::Error| failed(http::describe_error(&error));
        let request = self.client.post(format!("{}/api/pull", self.url)).json(&json!({"model": model, "stream": true}));
        let mut lines = BodyLines::new(request.send().await.map_err(broken)?);
        let mut download = Download::default();
        while let Some(line) = lines.next().await.map_err(failed)? {
            let Ok(line) = serde_json::from_slice::<Value>(&line) else {
                continue;
            };
            // Errors are sent as a line, in a response with status 200 too.
            if let Some(error) = line["error"].as_str() {
                return Err(failed(ui::shorten(error, MAX_ERROR)));
            }
            if line["status"] == "success" {
                return Ok(());
            }
            let (fraction, detail) = download.update(&line);
            starting.report(&format!("downloading {model}"), fraction, detail);
        }
        Err(failed("the server closed the connection early".into()))
    }
}

/// The progress of a download.
#[derive(Default)]
struct Download {
    /// Completed and total bytes of each layer, since a line reports only one layer.
    layers: BTreeMap<String, (u64, u64)>,
    /// When the first bytes arrived, and how many were already there.
    since: Option<(Instant, u64)>,
}

impl Download {
    /// Updates the progress from a line. Returns the completed fraction, if known, and a text for the user.
    fn update(&mut self, line: &Value) -> (Option<f32>, String) {
        let (Some(digest), Some(total)) = (line["digest"].as_str(), line["total"].as_u64()) else {
            return (None, line["status"].as_str().unwrap_or_default().to_owned());
        };
        // A layer that has just begun has no `completed` yet.
        let completed = line["completed"].as_u64().unwrap_or(0);
        self.layers.insert(digest.to_owned(), (completed, total));
        let completed = self.layers.values().map(|(completed, _)| *completed).fold(0, u64::saturating_add);
        let total = self.layers.values().map(|(_, total)| *total).fold(0, u64::saturating_add);
        let (since, before) = *self.since.get_or_insert((Instant::now(), completed));
        let fraction = completed as f64 / u64::max(total, 1) as f64;
        (Some(fraction as f32), progress(completed, total, completed.saturating_sub(before), since.elapsed()))
    }
}

/// Returns the bytes and, once they are known, the rate and the time left.
fn progress(completed: u64, total: u64, fresh: u64, elapsed: Duration) -> String {
    let done = format!("{} of {}", format_bytes(completed), format_bytes(total));
    if fresh == 0 || elapsed < Duration::from_millis(500) {
        return done;
    }
    let rate = fresh as f64 / elapsed.as_secs_f64();
    let left = Duration::from_secs((total.saturating_sub(completed) as f64 / rate) as u64);
    format!("{done}, {}/s, {} left", format_bytes(rate as u64), humantime::format_duration(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn download_progress_sums_all_layers() {
        let mut download = Download::default();
        let mut line = |digest: &str, total: u64, completed: Option<u64>| {
            download.update(&json!({"status": "pulling", "digest": digest, "total": total, "completed": completed}))
        };
        assert_eq!(line("a", 3_000_000_000, None), (Some(0.0), "0 kB of 3.0 GB".into()));
        assert_eq!(line("a", 3_000_000_000, Some(3_000_000_000)).0, Some(1.0));
        // The next layer doesn't reset the fraction.
        assert_eq!(line("b", 1_000_000_000, Some(0)).0, Some(0.75));
        // A server may say anything.
        assert_eq!(line("c", u64::MAX, Some(u64::MAX)).0, Some(1.0));
    }

    #[test]
    fn download_line_without_bytes_shows_its_status() {
        assert_eq!(
            Download::default().update(&json!({"status": "pulling manifest"})),
            (None, "pulling manifest".into())
        );
    }

    #[test]
    fn download_progress_shows_bytes_rate_and_time_left() {
        let shown = progress(1_500_000_000, 4_000_000_000, 1_000_000_000, Duration::from_secs(10));
        assert_eq!(shown, "1.5 GB of 4.0 GB, 100 MB/s, 25s left");
    }

    #[test]
    fn download_progress_omits_unknown_rate() {
        assert_eq!(progress(400, 1_000, 0, Duration::from_secs(10)), "0 kB of 1 kB");
        assert_eq!(progress(400_000, 1_000_000, 400_000, Duration::from_millis(1)), "400 kB of 1 MB");
    }
}
