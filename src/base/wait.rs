//! The event loop, and waits that the user is told about.

use std::time::Duration;

use tokio::{runtime::Runtime, time::timeout};

use super::error::{Code, Failure, Result};

/// Time after which a wait is explained to the user.
pub(crate) const WORD_AFTER: Duration = Duration::from_secs(1);

/// Returns a single-threaded runtime, because a child's parent-death signal fires when the thread that started it ends.
pub(crate) fn event_loop() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Code::Bug, "the event loop could not be started").cause(error))
}

/// Waits for `done`, and calls `explain` if that takes longer than [`WORD_AFTER`].
pub(crate) async fn explained<T>(done: impl Future<Output = T>, explain: impl FnOnce()) -> T {
    let mut done = std::pin::pin!(done);
    if let Ok(done) = timeout(WORD_AFTER, &mut done).await {
        return done;
    }
    explain();
    done.await
}
