//! The command that opens a file, for what is to be corrected in it.

use std::path::Path;

use crate::base::{
    error::{Code, Failure},
    ui,
};

/// With the command that opens the file, where that may be what mends it.
pub fn mendable(failure: Failure, file: &Path) -> Failure {
    let edit = edit(file);
    if failure.code == Code::Usage || !file.is_file() || failure.help.contains(&edit) {
        failure
    } else {
        failure.help(edit)
    }
}

/// The command that opens a file.
pub fn edit(file: &Path) -> String {
    format!("${{EDITOR:-vi}} {}", quoted(file))
}

/// A path as a shell reads it.
pub fn quoted(path: &Path) -> String {
    ui::command_line(std::iter::once(path.display().to_string()))
}
