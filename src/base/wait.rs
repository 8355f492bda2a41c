//! Waits that the user is told about.

use std::time::Duration;

use tokio::time::timeout;

/// Time after which a wait is explained to the user.
pub(crate) const WORD_AFTER: Duration = Duration::from_secs(1);

/// Waits for `done`, and calls `explain` if that takes longer than [`WORD_AFTER`].
pub(crate) async fn explained<T>(done: impl Future<Output = T>, explain: impl FnOnce()) -> T {
    let mut done = std::pin::pin!(done);
    if let Ok(done) = timeout(WORD_AFTER, &mut done).await {
        return done;
    }
    explain();
    done.await
}
