//! Collects the status of all backends that lclaude runs.

use std::path::Path;

use tokio::task::{JoinSet, LocalSet};

use crate::{
    backend::{Figures, registry::figures},
    base::process::Group,
    keeper::{self, Report},
};

/// A backend with its current figures.
pub(crate) struct BackendView {
    pub report: Report,
    pub figures: Figures,
    /// Resident memory of its processes, in bytes.
    pub resident: Option<u64>,
}

/// Returns all backends, the oldest first, and then the servers that somebody else runs.
pub(crate) async fn look(runtime: &Path) -> Vec<BackendView> {
    // All at once, so that servers that don't respond delay this only once.
    let local = LocalSet::new();
    let mut looking = JoinSet::new();
    let external = keeper::list_external(runtime);
    for (at, report) in keeper::list_backends(runtime).await.into_iter().chain(external).enumerate() {
        let look = async move {
            let figures = match &report.endpoint {
                Some(endpoint) => figures(&report.about.kind, endpoint, &report.about.models).await,
                None => Figures::default(),
            };
            let resident = report.group.map(Group::resident);
            (at, BackendView { report, figures, resident })
        };
        looking.spawn_local_on(look, &local);
    }
    let mut seen = local.run_until(looking.join_all()).await;
    seen.sort_by_key(|(at, _)| *at);
    seen.into_iter().map(|(_, seen)| seen).collect()
}
