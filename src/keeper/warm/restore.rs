//! The start of a warm server: a snapshot is restored before the server is ready.

use std::{cell::Cell, rc::Rc, time::Duration};

use reqwest::Client;
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use super::{
    find::{Found, find, identify},
    request::{Requests, WarmStart},
    server::WarmServer,
};
use crate::{
    backend::{BackendPlan, Endpoint, RestoreError, Slots},
    base::failpoint,
    keeper::progress::ActivityTracker,
};

/// How long a start waits for the disk.
const DISK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a server that is up waits until its snapshot is verified.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(10);

/// The warm starts of one keeper.
pub(crate) struct Warm {
    start: Option<WarmStart>,
    plan: BackendPlan,
    requests: Requests,
    activity: Rc<ActivityTracker>,
    /// Whether a run of the server ended unexpectedly, after which no other one gets a snapshot.
    is_cold: Cell<bool>,
}

/// What is being looked for on the disk.
pub(crate) struct Search(Option<JoinHandle<Found>>);

/// The server ended when it was given a snapshot, which is removed.
pub(crate) struct ServerLost;

impl Warm {
    pub(crate) fn new(
        start: Option<WarmStart>,
        plan: &BackendPlan,
        requests: Requests,
        activity: Rc<ActivityTracker>,
    ) -> Self {
        Warm { start, plan: plan.clone(), requests, activity, is_cold: Cell::default() }
    }

    /// Prepares for a start of the server: makes the directory that it is told, and begins to look for a snapshot.
    pub(crate) async fn look(&self) -> Search {
        let Some(start) = self.start.clone() else { return Search(None) };
        let (store, plan) = (start.store.clone(), self.plan.clone());
        let _ = timeout(DISK_TIMEOUT, spawn_blocking(move || store.ready())).await;
        Search(Some(spawn_blocking(move || find(&start, &plan))))
    }

    /// Gives a server that had no request yet the snapshot that was found. Returns `None` if warm starts are off.
    ///
    /// # Errors
    /// [`ServerLost`].
    pub(crate) async fn restore(
        &self,
        search: Search,
        client: &Client,
        endpoint: &Endpoint,
    ) -> Result<Option<WarmServer>, ServerLost> {
        let (Some(start), Some(search)) = (&self.start, search.0) else { return Ok(None) };
        let Ok(Ok(mut found)) = timeout(SEARCH_TIMEOUT, search).await else { return Ok(None) };
        if found.snapshot.is_some() {
            // llama-server may have downloaded a newer file since.
            let plan = self.plan.clone();
            let Ok((cache, server)) = spawn_blocking(move || identify(&plan)).await else { return Ok(None) };
            if server != found.server {
                (found.cache, found.server, found.snapshot) = (cache, server, None);
            }
        }
        failpoint::reach("snapshot-verified");
        let restored = match found.snapshot.take().filter(|_| !self.is_cold.get()) {
            None => None,
            Some((key, file)) => match (Slots { client, endpoint }).restore(&file.name).await {
                Ok(()) => {
                    tracing::info!(%key, tokens = file.tokens, bytes = file.bytes, "snapshot restored");
                    Some((key, file.tokens))
                }
                Err(error) => {
                    tracing::warn!(%key, ?error, "snapshot not restored");
                    let store = start.store.clone();
                    let _ = spawn_blocking(move || store.remove_snapshot(&key)).await;
                    if matches!(error, RestoreError::Lost) {
                        return Err(ServerLost);
                    }
                    None
                }
            },
        };
        let model = self.plan.models.first().cloned().unwrap_or_default();
        let server = WarmServer {
            store: start.store.clone(),
            found,
            restored,
            model,
            backend: self.plan.kind.to_string(),
            context: self.plan.context,
            client: client.clone(),
            endpoint: endpoint.clone(),
            activity: self.activity.clone(),
            saving: watch::Sender::default(),
        };
        Ok(Some(server))
    }

    /// Restores nothing any more: the server ended unexpectedly, which a snapshot may be the reason for.
    pub(crate) fn go_cold(&self) {
        self.is_cold.set(true);
    }

    /// Returns what sessions see of their first requests.
    pub(crate) fn requests(&self) -> Requests {
        self.requests.clone()
    }
}
