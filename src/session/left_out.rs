//! The line that says which tools a session leaves out. It is printed once for each set of names, and only on a terminal,
//! since nobody reads it elsewhere.

use std::path::Path;

use super::said;
use crate::{base::ui, claude::LeftOut};

/// Prints what is left out, unless it was printed before.
///
/// `remembers`: whether to remember it, which a throwaway session doesn't.
pub(crate) fn print_once(left_out: &LeftOut, state: &Path, remembers: bool) {
    if left_out.rules.is_empty() || !ui::is_seen() {
        return;
    }
    let names = left_out.rules.join(", ");
    let note = format!(
        "left out tools that don't suit a local model: {names}\n  \
         help: lclaude --toolset all  # keeps them"
    );
    said::print_once("left-out.json", &names, &note, state, remembers);
}
