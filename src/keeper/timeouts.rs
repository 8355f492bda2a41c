//! How long sessions and keepers wait for each other.

use std::time::Duration;

/// How long a process that should answer at once may take after it was woken and the user was told
/// ([`WORD_AFTER`](crate::base::wait::WORD_AFTER)).
pub(crate) const REPLY_TIMEOUT: Duration = Duration::from_secs(3);
/// The same for a keeper that others use. The machine may be swapping, or its disk may be slow.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
/// The same for a keeper that is shutting down and may have changes to undo on a slow server.
pub(crate) const CLEANUP_TIMEOUT: Duration = Duration::from_secs(60);
