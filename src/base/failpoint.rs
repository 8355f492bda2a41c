//! Points in the program where a test can stop the process, to kill, suspend or delay it there, or make it panic. Only in
//! debug builds.

/// Stops this process if the variable `STOP_LCLAUDE_AT` is `POINT:FILE`, `point` is that point, and the file exists. The
/// file is removed, so only one process stops, and only once.
///
/// # Panics
/// If the variable `PANIC_LCLAUDE_AT` is `point`.
#[cfg(debug_assertions)]
#[track_caller]
pub(crate) fn reach(point: &str) {
    if let Ok(wanted) = std::env::var("STOP_LCLAUDE_AT")
        && let Some((_, file)) = wanted.split_once(':').filter(|(name, _)| *name == point)
        && std::fs::remove_file(file).is_ok()
    {
        // A signal to the process may be taken by another thread while this one goes on.
        // SAFETY: nothing but a signal is sent.
        unsafe { libc::raise(libc::SIGSTOP) };
    }
    let panics = std::env::var("PANIC_LCLAUDE_AT").is_ok_and(|wanted| wanted == point);
    assert!(!panics, "a test asks for a panic at {point}");
}

/// Does nothing.
#[cfg(not(debug_assertions))]
pub(crate) fn reach(_point: &str) {}
