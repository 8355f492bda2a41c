//! What a keeper is doing, as its sessions are told, and what may follow what.

use tokio::sync::watch;

use super::protocol::FromKeeper;

/// Which state may follow which. `docs/architecture.md` has the same table, and a test compares them.
///
/// A state may also be repeated with other details, such as more progress.
const NEXT: &[(&str, &[&str])] = &[
    ("queued", &["waiting", "starting", "failed", "stopping"]),
    ("waiting", &["starting", "failed", "stopping"]),
    ("starting", &["progress", "listening", "ready", "restarting", "model_missing", "failed", "stopping"]),
    ("progress", &["listening", "ready", "restarting", "model_missing", "failed", "stopping"]),
    ("ready", &["restarting", "failed", "stopping"]),
    ("restarting", &["listening", "ready", "failed", "stopping"]),
    ("listening", &["ready", "restarting", "failed", "stopping"]),
    ("model_missing", &[]),
    ("failed", &[]),
    ("stopping", &[]),
];

/// The state of this keeper.
pub(crate) struct KeeperState(watch::Sender<FromKeeper>);

impl KeeperState {
    /// Returns the first state, and what sessions see of it.
    pub(crate) fn new() -> (Self, watch::Receiver<FromKeeper>) {
        let (sender, receiver) = watch::channel(FromKeeper::Queued);
        (KeeperState(sender), receiver)
    }

    /// Tells every session. Nothing follows a last state.
    pub(crate) fn set(&self, next: FromKeeper) {
        let (before, after) = (name(&self.0.borrow()), name(&next));
        debug_assert!(may_follow(before, after), "{after} after {before}");
        if before != after {
            tracing::info!(pid = std::process::id(), state = after, "keeper state");
        }
        self.0.send_replace(next);
    }

    pub(crate) fn is(&self, state: &FromKeeper) -> bool {
        *self.0.borrow() == *state
    }

    /// Returns whether the backend is down after it was up, as sessions were told.
    pub(crate) fn is_restarting(&self) -> bool {
        matches!(*self.0.borrow(), FromKeeper::Restarting { .. } | FromKeeper::Listening)
    }
}

fn may_follow(before: &str, after: &str) -> bool {
    before == after || NEXT.iter().any(|(state, next)| *state == before && next.contains(&after))
}

/// Returns the name of a state in the protocol.
fn name(state: &FromKeeper) -> &'static str {
    match state {
        FromKeeper::Queued => "queued",
        FromKeeper::Waiting { .. } => "waiting",
        FromKeeper::Starting => "starting",
        FromKeeper::Progress(_) => "progress",
        FromKeeper::Ready(_) => "ready",
        FromKeeper::Restarting { .. } => "restarting",
        FromKeeper::Listening => "listening",
        FromKeeper::Failed { .. } => "failed",
        FromKeeper::ModelMissing(_) => "model_missing",
        FromKeeper::Stopping => "stopping",
        // One session's, not the keeper's.
        FromKeeper::Refused { .. } => "refused",
        FromKeeper::Released => "released",
        FromKeeper::Activity(_) => "activity",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_table_is_the_one_in_the_program() {
        let documentation = include_str!("../../docs/architecture.md");
        let table = documentation.split("| state | meaning | may be followed by |").nth(1).expect("the table");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let documented: Vec<(String, Vec<String>)> = rows
            .map(|row| {
                let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
                (words(cells[0]).remove(0), words(cells[2]))
            })
            .collect();
        let expected =
            NEXT.iter().map(|(state, next)| ((*state).to_owned(), next.iter().map(|it| (*it).to_owned()).collect()));
        assert_eq!(documented, expected.collect::<Vec<_>>());
    }
}
