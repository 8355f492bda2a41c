//! Downloads a model with `lms get`, which draws its progress bar even without a terminal (`ProgressBar.ts`).

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};

use super::plan::Studio;
use crate::{backend::starting::Starting, base::error::Result};

/// Each update of the bar ends with this byte; there are no newlines.
const ESCAPE: u8 = b'\x1b';

/// Returns whether `lms get` takes this key literally. It searches for any other and takes the first similar one.
pub(crate) fn is_exact(key: &str) -> bool {
    let is_name = |part: &str| !part.is_empty() && !part.contains(|c: char| "/@:".contains(c) || c.is_uppercase());
    key.split_once('/').is_some_and(|(owner, name)| is_name(owner) && is_name(name))
}

impl Studio {
    /// Downloads the model with exactly this key.
    ///
    /// # Errors
    /// `Unavailable` if `lms get` fails.
    pub(super) async fn download(&self, key: &str, starting: &Starting<'_>) -> Result<()> {
        let stage = format!("downloading {key}");
        starting.report(&stage, None, "");
        let arguments = ["get", key, "-y"];
        let getting = async {
            let mut get = self.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
            let mut stdout = get.stdout.take().map(BufReader::new);
            let report = async {
                let mut step = Vec::new();
                while let Some(stdout) = &mut stdout
                    && stdout.read_until(ESCAPE, &mut step).await.is_ok_and(|read| read > 0)
                {
                    if let Some((fraction, detail)) = progress(&String::from_utf8_lossy(&step)) {
                        starting.report(&stage, Some(fraction), detail);
                    }
                    step.clear();
                }
            };
            tokio::join!(get.wait_with_output(), report).0
        };
        self.stdout_of(&arguments, getting.await).map(drop)
    }
}

/// Parses an update of the bar, such as `⠋ [███▏     ] 36.25% | 1.70 GB /  4.68 GB | 35.00 MB/s | ETA 01:25`. Returns
/// the completed fraction and a text for the user.
fn progress(step: &str) -> Option<(f32, String)> {
    let (percent, words) = step.rsplit_once("] ")?.1.split_once('%')?;
    let percent: f32 = percent.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))?;
    let words: Vec<&str> = words.trim_matches([' ', '|', '\x1b']).split_whitespace().collect();
    Some((percent / 100.0, words.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_bar_updates_are_parsed() {
        let step = "[s\r⠋ [███▏     ] 36.25% |  1.70 GB /  4.68 GB | 35.00 MB/s | ETA 01:25          \x1b";
        assert_eq!(progress(step), Some((0.3625, "1.70 GB / 4.68 GB | 35.00 MB/s | ETA 01:25".into())));
        assert_eq!(progress("[2K\r⠙ [▏        ] 0.00%          \x1b"), Some((0.0, String::new())));
        // Before the total is known, the percentage is NaN.
        assert_eq!(progress("[s\r⠋ [] NaN% | 0 B / 0 B          \x1b"), None);
        assert_eq!(progress("\r   ↓ To download: GLM 4.7 Flash Q4_K_M [GGUF] - 18.13 GB\x1b"), None);
    }

    #[test]
    fn only_owner_and_name_are_exact() {
        assert!(is_exact("zai-org/glm-4.7-flash"));
        for key in ["glm-4.7-flash", "/x", "x/", "a/b/c", "https://huggingface.co/a/b", "a/b@q8_0", "Zai-Org/GLM"] {
            assert!(!is_exact(key), "{key}");
        }
    }
}
