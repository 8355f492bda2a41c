//! A look at every backend of lclaude's.

use std::path::Path;

use tokio::task::{JoinSet, LocalSet};

use crate::{
    backend::{Figures, registry::figures},
    keeper::{self, Report},
};

/// A backend, and how it is getting on.
pub struct Seen {
    pub report: Report,
    pub figures: Figures,
    /// Bytes in memory, of our processes behind it.
    pub resident: Option<u64>,
}

/// The oldest first.
pub async fn look(runtime: &Path) -> Vec<Seen> {
    // At once: a server that does not answer costs one wait.
    let here = LocalSet::new();
    let mut looking = JoinSet::new();
    for (at, report) in keeper::survey(runtime).await.into_iter().enumerate() {
        let look = async move {
            let figures = match &report.endpoint {
                Some(endpoint) => figures(&report.about.kind, endpoint, &report.about.models).await,
                None => Figures::default(),
            };
            let resident = report.group.map(|group| group.resident());
            (at, Seen { report, figures, resident })
        };
        looking.spawn_local_on(look, &here);
    }
    let mut seen = here.run_until(looking.join_all()).await;
    seen.sort_by_key(|(at, _)| *at);
    seen.into_iter().map(|(_, seen)| seen).collect()
}
