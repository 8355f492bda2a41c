//! The line that says which tools a session leaves out. It is printed once for each set of names, which is remembered in
//! the state directory, and only on a terminal, since nobody reads it elsewhere.

use std::path::Path;

use crate::{
    base::{disk, ui},
    claude::LeftOut,
};

const FILE: &str = "left-out.json";
/// Sets to remember; older ones are dropped. The names change with versions and with what the user allows.
const MAX_SETS: usize = 20;

/// Prints what is left out, unless it was printed before.
///
/// `remembers`: whether to remember it, which a throwaway session doesn't.
pub(crate) fn print_once(left_out: &LeftOut, state: &Path, remembers: bool) {
    if left_out.rules.is_empty() || !ui::is_seen() || ui::is_quiet() {
        return;
    }
    let names = left_out.rules.join(", ");
    let mut printed = read(state);
    if printed.contains(&names) {
        return;
    }
    ui::note_lines(format_args!(
        "lclaude: left out tools that don't suit a local model: {names}\n  \
         help: lclaude --toolset all  # keeps them"
    ));
    if !remembers {
        return;
    }
    printed.push(names);
    printed.drain(..printed.len().saturating_sub(MAX_SETS));
    let text = serde_json::to_vec(&printed).expect("plain data");
    // Otherwise it is printed again, which is no reason to fail.
    if let Err(error) = disk::create_private_dir(state).and_then(|()| disk::replace(&state.join(FILE), &text)) {
        tracing::warn!(?error, "left-out tools not remembered");
    }
}

/// Returns the sets that were printed. A missing or invalid file counts as empty.
fn read(state: &Path) -> Vec<String> {
    disk::read(&state.join(FILE)).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}
