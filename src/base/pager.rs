//! Shows a long text on a terminal through the user's pager, as git does.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, Seek, Write},
    process::Command,
};

use super::ui;

/// What a shell returns if it can't run a command.
const NOT_RUN: [i32; 2] = [126, 127];

/// Prints a help text. On a terminal that goes through `$PAGER`, or through `less`, which prints a text that fits the screen
/// and ends.
pub(crate) fn show(text: &str) {
    let is_shown = pager().is_some_and(|pager| page(&pager, &ui::report(text)).unwrap_or(false));
    if !is_shown {
        ui::print_report(text);
    }
}

/// Returns the command of the pager, or `None` without one, or with nothing to page.
fn pager() -> Option<OsString> {
    if ui::width().is_none() || console::is_dumb() {
        return None;
    }
    match env::var_os("PAGER") {
        Some(pager) if pager.is_empty() || pager == "cat" => None,
        Some(pager) => Some(pager),
        None => which::which("less").ok().map(|_| "less".into()),
    }
}

/// Runs the pager. Returns whether it could be run.
fn page(pager: &OsStr, text: &str) -> io::Result<bool> {
    // An open file and not a pipe, which somebody would have to fill meanwhile.
    let mut file = tempfile::tempfile()?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    let mut command = Command::new("sh");
    // `$PAGER` is a command line for a shell.
    command.arg("-c").arg(pager).stdin(file);
    if env::var_os("LESS").is_none() {
        // Ends if everything fits the screen, shows colors, and leaves the text on the screen.
        command.env("LESS", "FRX");
    }
    let status = command.status()?;
    Ok(!status.code().is_some_and(|code| NOT_RUN.contains(&code)))
}
