//! Collects the status of all backends that lclaude runs.

use std::{collections::HashMap, path::PathBuf};

use reqwest::Client;
use tokio::task::{JoinSet, LocalSet};

use crate::{
    backend::{self, Endpoint, Figures, registry::figures},
    base::process,
    keeper::{self, Report, State},
};

/// A backend with its current figures.
pub(crate) struct BackendView {
    pub report: Report,
    pub figures: Figures,
    /// Resident memory of all processes that belong to it, in bytes.
    pub resident: Option<u64>,
}

/// Looks at all backends, with `--watch` again and again.
pub(crate) struct Viewer<'a> {
    places: &'a [PathBuf],
    /// The client for each URL, which is kept because making one may read all certificates.
    clients: HashMap<String, Client>,
}

impl<'a> Viewer<'a> {
    pub(crate) fn new(places: &'a [PathBuf]) -> Self {
        Viewer { places, clients: HashMap::new() }
    }

    /// Returns all backends, the oldest first, and then the servers that somebody else runs.
    pub(crate) async fn look(&mut self) -> Vec<BackendView> {
        let external = keeper::list_external(self.places);
        let reports: Vec<Report> = keeper::list_backends(self.places).await.into_iter().chain(external).collect();
        let endpoints = || reports.iter().filter_map(|report| report.endpoint.as_ref());
        self.clients.retain(|url, _| endpoints().any(|endpoint| endpoint.url == *url));
        for Endpoint { url, .. } in endpoints() {
            self.clients.entry(url.clone()).or_insert_with(|| backend::figures_client(url));
        }
        // All at once, so that servers that don't respond delay this only once.
        let local = LocalSet::new();
        let mut looking = JoinSet::new();
        let memory = memory(&reports);
        for (at, (report, resident)) in reports.into_iter().zip(memory).enumerate() {
            let client = report.endpoint.as_ref().and_then(|endpoint| self.clients.get(&endpoint.url)).cloned();
            let look = async move {
                // A session may have switched to another model.
                let others = report.served.iter().flat_map(|served| &served.others);
                let models: Vec<String> = report.about.models.iter().chain(others).cloned().collect();
                let figures = match client.zip(report.endpoint.as_ref()) {
                    Some((client, endpoint)) => figures(&report.about.kind, &client, endpoint, &models).await,
                    None => Figures::default(),
                };
                (at, BackendView { report, figures, resident })
            };
            looking.spawn_local_on(look, &local);
        }
        let mut seen = local.run_until(looking.join_all()).await;
        seen.sort_by_key(|(at, _)| *at);
        seen.into_iter().map(|(_, seen)| seen).collect()
    }
}

/// Returns the memory of each backend that lclaude started.
fn memory(reports: &[Report]) -> Vec<Option<u64>> {
    let backend = |report: &Report| {
        let keeper = if report.state == State::LeftBehind { 0 } else { report.about.keeper };
        report.group.map(|group| (keeper, group))
    };
    let backends: Vec<_> = reports.iter().filter_map(backend).collect();
    let mut memory = process::memory(&backends).into_iter();
    reports.iter().map(|report| report.group.and_then(|_| memory.next())).collect()
}
