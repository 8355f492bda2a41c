//! How long sessions and keepers wait for each other, and the advice when a backend is lost.

use std::time::Duration;

/// How long a keeper that should answer at once may take before the user is told, and it is woken, since it may be
/// suspended.
pub(crate) const WORD_AFTER: Duration = Duration::from_secs(1);
/// How long a process that should answer at once may take after that.
pub(crate) const REPLY_TIMEOUT: Duration = Duration::from_secs(3);
/// The same for a keeper that others use. The machine may be swapping, or its disk may be slow.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
/// The same for a keeper that is shutting down and may have changes to undo on a slow server.
pub(crate) const CLEANUP_TIMEOUT: Duration = Duration::from_secs(60);

/// The help text for a session that lost its backend.
pub(crate) const RETRY_HELP: &str = "run the same command again";
