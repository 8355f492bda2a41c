//! What a server is doing, in words, as the status line, `lclaude local status` and a waiting `-p` show it.

use super::report::{Activity, Phase, PromptUse};

/// Seconds of a phase after which its duration is shown, if there is nothing better.
const SHOWN_AFTER: u64 = 3;

impl Activity {
    /// Returns the phase and its figures: `reading 61%`, `1030 tokens/s`, `12 s left`.
    pub(crate) fn describe(&self) -> Vec<String> {
        let rate = self.tokens_per_second.map(rate);
        match self.phase {
            Phase::Reading => {
                let reading = match self.fraction {
                    Some(fraction) => format!("reading {}%", percent(fraction)),
                    None if self.seconds >= SHOWN_AFTER => format!("reading for {}", duration(self.seconds)),
                    None => "reading".into(),
                };
                let left = self.seconds_left.map(|seconds| format!("{} left", duration(seconds)));
                [Some(reading), rate, left].into_iter().flatten().collect()
            }
            Phase::Writing => vec![match rate {
                Some(rate) => format!("writing {rate}"),
                None => "writing".into(),
            }],
            Phase::Idle | Phase::Unknown => Vec::new(),
        }
    }

    /// Returns how much of the last prompt was cached: `cache 98%`.
    pub(crate) fn describe_cache(&self) -> Option<String> {
        let PromptUse { cached, total } = self.prompt_cache.filter(|prompt| prompt.total > 0)?;
        Some(format!("cache {}%", percent(cached as f64 / total as f64)))
    }
}

/// Returns whole percents, rounded down, so that 100% means all.
fn percent(fraction: f64) -> u32 {
    (fraction.clamp(0.0, 1.0) * 100.0 + 1e-6) as u32
}

fn rate(rate: f64) -> String {
    let decimals = usize::from(rate < 10.0);
    format!("{rate:.decimals$} tokens/s")
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", (seconds + 30) / 60),
        _ => format!("{} h", (seconds + 1_800) / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_described_with_what_is_known() {
        let reading = Activity { phase: Phase::Reading, seconds: 1, ..Activity::default() };
        let known = Activity {
            fraction: Some(0.619),
            tokens_per_second: Some(1030.4),
            seconds_left: Some(12),
            ..reading.clone()
        };
        let writing = Activity { phase: Phase::Writing, tokens_per_second: Some(4.26), ..Activity::default() };
        for (activity, expected) in [
            (reading.clone(), "reading"),
            (Activity { seconds: 3, ..reading }, "reading for 3 s"),
            (Activity { seconds_left: Some(12), ..known.clone() }, "reading 61% · 1030 tokens/s · 12 s left"),
            (Activity { seconds_left: Some(100), ..known.clone() }, "reading 61% · 1030 tokens/s · 2 min left"),
            (Activity { seconds_left: Some(7_300), ..known }, "reading 61% · 1030 tokens/s · 2 h left"),
            (writing.clone(), "writing 4.3 tokens/s"),
            (Activity { tokens_per_second: None, ..writing }, "writing"),
            (Activity::idle(), ""),
            (Activity::default(), ""),
        ] {
            assert_eq!(activity.describe().join(" · "), expected);
        }
    }

    #[test]
    fn cache_is_described_in_whole_percents() {
        let cache = |cached, total| {
            Activity { prompt_cache: Some(PromptUse { cached, total }), ..Activity::default() }.describe_cache()
        };
        assert_eq!(cache(24_013, 24_014).as_deref(), Some("cache 99%"));
        assert_eq!(cache(29, 100).as_deref(), Some("cache 29%"));
        assert_eq!(cache(10, 10).as_deref(), Some("cache 100%"));
        assert_eq!(cache(0, 0), None);
        assert_eq!(Activity::default().describe_cache(), None);
    }
}
