//! Points in the program where a test can stop the process, to kill, suspend or delay it there. Only in debug builds.

/// Stops this process if the variable `STOP_LCLAUDE_AT` is `POINT:FILE`, `point` is that point, and the file exists. The
/// file is removed, so only one process stops, and only once.
#[cfg(debug_assertions)]
pub(crate) fn reach(point: &str) {
    let Ok(wanted) = std::env::var("STOP_LCLAUDE_AT") else {
        return;
    };
    if let Some((_, file)) = wanted.split_once(':').filter(|(name, _)| *name == point)
        && std::fs::remove_file(file).is_ok()
    {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
    }
}

/// Does nothing.
#[cfg(not(debug_assertions))]
pub(crate) fn reach(_point: &str) {}
