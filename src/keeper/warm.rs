//! The start of a warm server: what was kept of earlier prompts is found while the server loads its model, and a snapshot
//! is restored before the server is ready.
//!
//! Nothing about warm starts is ever an error for a session, and nothing can change an answer: the server itself compares
//! each prompt with what it has read.

use std::rc::Rc;

use reqwest::Client;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
};

use super::{progress::ActivityTracker, warm_server::WarmServer};
use crate::{
    backend::{BackendPlan, Endpoint, PromptCache, RestoreError, Slots, registry},
    base::{environment::Environment, fingerprint},
    memory::PromptReuse,
    warm::{Key, Prefix, SnapshotFile, Store},
};

/// What a session wants of warm starts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WarmStart {
    pub store: Store,
    pub conversation: ConversationKind,
}

/// Names the conversations that start the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConversationKind {
    /// In one project.
    pub project: Key,
    /// In all projects.
    pub anywhere: Key,
}

/// The beginning of a session's first request, as the session saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FirstRequest {
    pub conversation: ConversationKind,
    pub prefix: Prefix,
    /// The bytes of the whole request.
    pub size: usize,
}

/// The last first request of any session. `is_alone`: whether that session was the only one.
pub(crate) type Requests = watch::Receiver<Option<(FirstRequest, bool)>>;

/// The warm starts of one keeper.
pub(crate) struct Warm {
    start: Option<WarmStart>,
    plan: BackendPlan,
    requests: Requests,
    activity: Rc<ActivityTracker>,
}

/// What is being looked for on the disk.
pub(crate) struct Search(Option<JoinHandle<Found>>);

/// What was found on the disk.
pub(super) struct Found {
    pub cache: PromptCache,
    /// Names the server, its arguments and the model.
    pub server: Key,
    /// What a conversation of this kind started with.
    pub prefix: Option<KnownPrefix>,
    snapshot: Option<(Key, SnapshotFile)>,
}

#[derive(Clone)]
pub(super) struct KnownPrefix {
    pub prefix: Prefix,
    /// Whether it was recorded in the project of the session.
    pub is_own: bool,
}

/// The server ended when it was given a snapshot, which is removed.
pub(crate) struct ServerLost;

impl Warm {
    pub(crate) fn new(
        start: Option<WarmStart>,
        plan: &BackendPlan,
        requests: Requests,
        activity: Rc<ActivityTracker>,
    ) -> Self {
        Warm { start, plan: plan.clone(), requests, activity }
    }

    /// Prepares for a start of the server: makes the directory that it is told, and begins to look for a snapshot.
    pub(crate) async fn look(&self) -> Search {
        let Some(start) = self.start.clone() else { return Search(None) };
        let (store, plan) = (start.store.clone(), self.plan.clone());
        let _ = spawn_blocking(move || store.ready()).await;
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
        let Ok(mut found) = search.await else { return Ok(None) };
        let restored = match found.snapshot.take() {
            None => None,
            Some((key, file)) => match (Slots { client, endpoint }).restore(&file.name).await {
                Ok(()) => {
                    tracing::info!(%key, tokens = file.tokens, bytes = file.bytes, "snapshot restored");
                    Some(key)
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
        };
        Ok(Some(server))
    }

    /// Returns what sessions see of their first requests.
    pub(crate) fn requests(&self) -> Requests {
        self.requests.clone()
    }
}

/// Looks for what was kept, and verifies the snapshot, which reads its whole file.
fn find(start: &WarmStart, plan: &BackendPlan) -> Found {
    let environment = Environment::read().ok();
    let cache = environment.map_or(PromptCache::Unknown, |it| registry::backend(plan.kind).prompt_cache(plan, &it));
    let sample = match &cache {
        PromptCache::Slot(slot) => fingerprint::sample(&slot.model).ok(),
        _ => None,
    };
    let server = Key::of(&(plan.id(), sample));
    let parse = |value| serde_json::from_value::<Prefix>(value).ok();
    let own = start.store.record(&start.conversation.project).and_then(parse);
    let prefix = match own {
        Some(prefix) => Some(KnownPrefix { prefix, is_own: true }),
        None => {
            let newest = start.store.newest_record(&start.conversation.anywhere);
            newest.and_then(|(_, value)| parse(value)).map(|prefix| KnownPrefix { prefix, is_own: false })
        }
    };
    let snapshot = match (&cache, &prefix) {
        (PromptCache::Slot(slot), Some(known)) => {
            let project = || Some(project_key(&server, &known.prefix));
            let shared = || shared_key(&server, &known.prefix);
            let keys = match slot.reuse {
                // Of another project's snapshot, what both have in common is used.
                PromptReuse::AnyPrefix => [project(), None],
                PromptReuse::WholePrefix if known.is_own => [project(), shared()],
                _ => [None, shared()],
            };
            let open = |key: Key| Some((key.clone(), start.store.open_snapshot(&key)?));
            keys.into_iter().flatten().find_map(open)
        }
        _ => None,
    };
    Found { cache, server, prefix, snapshot }
}

/// Names the snapshot of a whole prefix.
pub(super) fn project_key(server: &Key, prefix: &Prefix) -> Key {
    Key::of(&(server, prefix))
}

/// Names the snapshot of what a prefix has in common with that of every other project.
pub(super) fn shared_key(server: &Key, prefix: &Prefix) -> Option<Key> {
    Some(Key::of(&(server, "shared", prefix.elsewhere()?)))
}
