//! Downloading a model with `lms get`, which draws its progress bar whether anybody sees it or not (`ProgressBar.ts`).

use crate::backend::starting::Starting;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};

use super::plan::Studio;
use crate::base::error::Result;

/// Every step of the bar is between two of these; it has no ends of line.
const ESCAPE: u8 = b'\x1b';

/// Whether `lms get` takes this name to the letter. Any other it looks up, and takes the first that is like it.
pub fn is_exact(key: &str) -> bool {
    let is_name = |part: &str| !part.is_empty() && !part.contains(|c: char| "/@:".contains(c) || c.is_uppercase());
    key.split_once('/').is_some_and(|(owner, name)| is_name(owner) && is_name(name))
}

impl Studio {
    /// Downloads the model of exactly this key.
    pub(super) async fn download(&self, key: &str, starting: &Starting<'_>) -> Result<()> {
        let stage = format!("downloading {key}");
        starting.tell(&stage, None, "");
        let arguments = ["get", key, "-y"];
        let getting = async {
            let mut get = self.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
            let mut stdout = get.stdout.take().map(BufReader::new);
            let listen = async {
                let mut step = Vec::new();
                while let Some(stdout) = &mut stdout
                    && stdout.read_until(ESCAPE, &mut step).await.is_ok_and(|read| read > 0)
                {
                    if let Some((fraction, detail)) = progress(&String::from_utf8_lossy(&step)) {
                        starting.tell(&stage, Some(fraction), detail);
                    }
                    step.clear();
                }
            };
            tokio::join!(get.wait_with_output(), listen).0
        };
        self.said(&arguments, getting.await).map(drop)
    }
}

/// A step of the bar, as in `⠋ [███▏     ] 36.25% | 1.70 GB /  4.68 GB | 35.00 MB/s | ETA 01:25`: the fraction that has
/// come, and words for the user.
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
    fn a_step_of_the_bar_is_read() {
        let step = "[s\r⠋ [███▏     ] 36.25% |  1.70 GB /  4.68 GB | 35.00 MB/s | ETA 01:25          \x1b";
        assert_eq!(progress(step), Some((0.3625, "1.70 GB / 4.68 GB | 35.00 MB/s | ETA 01:25".into())));
        assert_eq!(progress("[2K\r⠙ [▏        ] 0.00%          \x1b"), Some((0.0, String::new())));
        // Before the first bytes there is nothing to divide by.
        assert_eq!(progress("[s\r⠋ [] NaN% | 0 B / 0 B          \x1b"), None);
        assert_eq!(progress("\r   ↓ To download: GLM 4.7 Flash Q4_K_M [GGUF] - 18.13 GB\x1b"), None);
    }

    #[test]
    fn only_a_name_with_its_owner_is_exact() {
        assert!(is_exact("zai-org/glm-4.7-flash"));
        for key in ["glm-4.7-flash", "/x", "x/", "a/b/c", "https://huggingface.co/a/b", "a/b@q8_0", "Zai-Org/GLM"] {
            assert!(!is_exact(key), "{key}");
        }
    }
}
