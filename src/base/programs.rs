//! Finds programs on PATH, or where package managers put them.
//!
//! An editor that isn't started from a shell has a short PATH: launchd's is `/usr/bin:/bin:/usr/sbin:/sbin`, which lacks
//! Homebrew. PATH always wins.

use std::path::{Path, PathBuf};

/// Directories of package managers, searched after PATH.
const USUAL: &[&str] = if cfg!(target_os = "macos") {
    // Homebrew on Apple silicon, Homebrew on Intel and npm, MacPorts.
    &["/opt/homebrew/bin", "/usr/local/bin", "/opt/local/bin"]
} else {
    &["/usr/local/bin", "/home/linuxbrew/.linuxbrew/bin"]
};

/// Returns all programs with this name, those on PATH first.
pub(crate) fn find_all(name: &str) -> impl Iterator<Item = PathBuf> {
    let on_path = which::which_all(name).into_iter().flatten();
    let name = name.to_owned();
    on_path.chain(usual().into_iter().filter_map(move |place| which::which(place.join(&name)).ok()))
}

/// Returns the path of the program at a path, or else of the first with this name.
pub(crate) fn find(program: &Path) -> Option<PathBuf> {
    match program.to_str().filter(|name| !name.contains('/')) {
        Some(name) => find_all(name).next(),
        None => which::which(program).ok(),
    }
}

fn usual() -> Vec<PathBuf> {
    // A test must not find the programs of the machine.
    #[cfg(debug_assertions)]
    if let Some(places) = std::env::var_os("USUAL_LCLAUDE_PLACES") {
        return std::env::split_paths(&places).filter(|place| place.is_absolute()).collect();
    }
    USUAL.iter().map(PathBuf::from).collect()
}
