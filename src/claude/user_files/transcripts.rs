//! Claude Code's transcripts, in which a saved choice of a model leaves a line.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    time::SystemTime,
};

use serde_json::Value;

use crate::base::disk;

/// The line's text before and after the model's name (2.1.331).
const CHOSEN: &str = "<local-command-stdout>Set model to ";
const SAVED: &str = " and saved as your default";
/// Follows the name of the model that "Default" means.
const DEFAULT: &str = " (default)";

/// The longest line that is read. Lines with tool results are longer, but none that matters is.
const MAX_LINE: u64 = 64 * 1024;

/// A model that a user chose in a session and saved as default.
#[derive(Debug, PartialEq)]
pub(super) struct Choice {
    /// The name as the session shows it.
    pub model: String,
    /// Whether it was chosen as "Default".
    pub is_default: bool,
}

/// Returns the last choice that a session has saved since `since` (RFC 3339).
pub(super) fn last_choice(projects: &Path, since: &str) -> Option<Choice> {
    let start = humantime::parse_rfc3339(since).ok()?;
    let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let transcripts = entries(projects).flat_map(|project| entries(&project).collect::<Vec<_>>());
    let choices = transcripts.filter(|file| is_changed(file, start)).filter_map(|file| last_in(&file));
    // The times have the same format, so their order is that of their texts.
    choices.filter(|(time, _)| time.as_str() >= since).max_by(|a, b| a.0.cmp(&b.0)).map(|(_, choice)| choice)
}

fn is_changed(file: &Path, since: SystemTime) -> bool {
    let is_transcript = file.extension().is_some_and(|ending| ending == "jsonl");
    is_transcript && fs::metadata(file).and_then(|meta| meta.modified()).is_ok_and(|time| time >= since)
}

/// Returns the last choice in a transcript, with its time.
fn last_in(file: &Path) -> Option<(String, Choice)> {
    let mut reader = BufReader::new(disk::open(file).ok()?);
    let (mut line, mut last) = (Vec::new(), None);
    loop {
        line.clear();
        if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).ok()? == 0 {
            return last;
        }
        let mark = SAVED.as_bytes();
        if line.windows(mark.len()).any(|part| part == mark) {
            last = parse(&line).or(last);
        }
    }
}

fn parse(line: &[u8]) -> Option<(String, Choice)> {
    let entry: Value = serde_json::from_slice(line).ok()?;
    let text = entry.pointer("/message/content")?.as_str()?.strip_prefix(CHOSEN)?;
    let shown = text.split_once(SAVED)?.0.trim_matches('`').trim();
    let model = shown.strip_suffix(DEFAULT);
    let choice = Choice { model: model.unwrap_or(shown).to_owned(), is_default: model.is_some() };
    Some((entry.get("timestamp")?.as_str()?.to_owned(), choice))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a line as Claude Code 2.1.331 writes it.
    fn line(time: &str, shown: &str) -> String {
        let content = format!("{CHOSEN}`{shown}`{SAVED} for new sessions\u{1b}[2m\u{1b}[22m</local-command-stdout>");
        serde_json::json!({"type": "user", "timestamp": time, "message": {"role": "user", "content": content}})
            .to_string()
    }

    #[test]
    fn last_choice_of_all_transcripts_counts() {
        let projects = tempfile::tempdir().expect("a directory");
        let write = |name: &str, lines: &[String]| {
            let file = projects.path().join(name);
            fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
            fs::write(file, lines.join("\n")).expect("a file");
        };
        let since = "2026-11-30T12:00:00.000Z";
        assert_eq!(last_choice(projects.path(), since), None);
        write("-a/1.jsonl", &[line("2026-11-30T11:00:00.000Z", "old"), "{broken".into()]);
        assert_eq!(last_choice(projects.path(), since), None);
        write("-a/2.jsonl", &[line("2026-11-30T12:00:02.000Z", "Sonnet"), "x".repeat(200_000), String::new()]);
        write(
            "-b/3.jsonl",
            &[line("2026-11-30T12:00:01.000Z", "m"), line("2026-11-30T12:00:03.000Z", "m:4b (default)")],
        );
        let choice = Choice { model: "m:4b".into(), is_default: true };
        assert_eq!(last_choice(projects.path(), since), Some(choice));
    }
}
