//! The model store of Ollama's app for macOS, which the user may move in the app's settings.
//!
//! The app starts its server with `OLLAMA_MODELS` from these settings, if that directory exists (`app/server/server.go`,
//! seen in 0.35). No shell sees that variable. Users of older apps set it with `launchctl setenv`.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{backend::program, base::programs};

/// The app's settings, relative to the home directory. `models` in the table `settings` (`app/store/database.go`).
const SETTINGS: &str = "Library/Application Support/Ollama/db.sqlite";

/// Returns the store that the user chose, or `None` without the app or a choice. Runs a program, so look into Ollama's
/// default store first.
pub(crate) fn store(home: &Path) -> Option<PathBuf> {
    static STORE: OnceLock<Option<PathBuf>> = OnceLock::new();
    STORE.get_or_init(|| read(home)).clone()
}

fn read(home: &Path) -> Option<PathBuf> {
    let settings = home.join(SETTINGS);
    // macOS comes with sqlite3. Without the app's settings nothing is run.
    if !settings.is_file() {
        return None;
    }
    let chosen = ask("sqlite3", &["-readonly", settings.to_str()?, "SELECT models FROM settings LIMIT 1"]);
    chosen.or_else(|| ask("launchctl", &["getenv", "OLLAMA_MODELS"]))
}

/// Returns the directory that a program prints, or `None` if it isn't an absolute path of one.
fn ask(name: &str, arguments: &[&str]) -> Option<PathBuf> {
    let output = program::run_blocking(&programs::find(Path::new(name))?, arguments)?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim_end_matches('\n'));
    (output.status.success() && path.is_absolute() && path.is_dir()).then_some(path)
}
