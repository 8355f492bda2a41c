//! Notes that are printed once. What was printed is remembered in the state directory.

use std::path::Path;

use crate::base::{disk, ui};

/// Subjects to remember in each file; older ones are dropped. They change with versions and with what is installed.
const MAX_SUBJECTS: usize = 20;

/// Prints a note, unless it was printed for the same `subject` before. `file` has the subjects of notes of its kind.
///
/// `remembers`: whether to remember it, which a throwaway session doesn't.
pub(crate) fn print_once(file: &str, subject: &str, note: &str, state: &Path, remembers: bool) {
    if ui::is_quiet() {
        return;
    }
    let mut printed = read(&state.join(file));
    if printed.iter().any(|known| known == subject) {
        return;
    }
    ui::note_lines(format_args!("lclaude: {note}"));
    // In a log nobody may have seen it.
    if !remembers || !ui::is_seen() {
        return;
    }
    printed.push(subject.to_owned());
    printed.drain(..printed.len().saturating_sub(MAX_SUBJECTS));
    let text = serde_json::to_vec(&printed).expect("plain data");
    // Otherwise it is printed again, which is no reason to fail.
    if let Err(error) = disk::create_private_dir(state).and_then(|()| disk::replace(&state.join(file), &text)) {
        tracing::warn!(?error, file, "a printed note was not remembered");
    }
}

/// Returns the subjects of the notes that were printed. A missing or invalid file counts as empty.
fn read(file: &Path) -> Vec<String> {
    disk::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}
