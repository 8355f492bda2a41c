//! How long sessions and keepers wait for each other.

use std::time::Duration;

/// How long a process that should answer at once may take before it is woken, and then killed.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// The same for one that is ending, and may have something to undo in a server that takes its time.
pub const ENDING_PATIENCE: Duration = Duration::from_secs(60);

/// What helps whoever has lost the backend.
pub const AGAIN: &str = "run the same command again";
