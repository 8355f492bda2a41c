//! Shows a long text on a terminal through the user's pager, as git does.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, Seek, Write},
    process::Command,
};

use super::{process, ui};

/// Prints a help text. On a terminal it replaces this process with `$PAGER`, or with `less`, which prints a text that
/// fits the screen and ends.
pub(crate) fn show(text: &str) {
    if let Some(pager) = pager() {
        // Returns only if it can't be started.
        let _ = exec(&pager, &ui::report(text));
    }
    ui::print_report(text);
}

/// Returns the command of the pager, or `None` if there is none or nothing to page.
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

fn exec(pager: &OsStr, text: &str) -> io::Result<()> {
    // An open file and not a pipe: this process ends before the pager reads.
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
    Err(process::exec(&mut command))
}
