//! The progress that a line of any server's log reports.

/// Returns the progress that a line reports as a percentage, from 0 to 1.
pub(crate) fn percentage(line: &str) -> Option<f32> {
    let before = &line[..line.find('%')?];
    let digits = before.trim_end().rsplit(|c: char| !c.is_ascii_digit() && c != '.').next()?;
    let percent: f32 = digits.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

/// Returns the progress that a line of any server reports as a percentage. A share of memory isn't progress.
pub(crate) fn progress(line: &str) -> Option<f32> {
    const NO_PROGRESS: [&str; 4] = ["usage", "utilization", "memory", "hit rate"];
    let lower = line.to_ascii_lowercase();
    percentage(line).filter(|_| !NO_PROGRESS.iter().any(|word| lower.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_read_from_progress_bars() {
        let read = |line: &str| progress(line).map(|fraction| (fraction * 100.0).round() as u32);
        assert_eq!(read("Loading safetensors checkpoint shards:  45% Completed | 5/11 [00:03<00:04]"), Some(45));
        assert_eq!(read("Capturing CUDA graphs (decode, FULL):  30%|███       | 20/67"), Some(30));
        assert_eq!(read("GPU KV cache usage: 12.0%, Prefix cache hit rate: 0.0%"), None);
        assert_eq!(read("at 250%"), None);
        assert_eq!(read("no number %"), None);
    }
}
