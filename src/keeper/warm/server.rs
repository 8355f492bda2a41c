//! A running server that is kept warm: it reads the beginning of an earlier prompt while Claude Code starts, and what it has
//! read is saved for the next start.
//!
//! llama-server has one slot and does one thing after the other. What is queued together, reading the beginning and saving
//! the slot, is done together, so a snapshot never has anything of a conversation in it; that is checked nevertheless.

use std::{cell::Cell, rc::Rc, time::Duration};

use reqwest::Client;
use tokio::{
    sync::{Notify, watch},
    task::{JoinHandle, spawn_blocking, spawn_local},
    time::{sleep, timeout},
};

use super::{
    find::{Found, KnownPrefix, project_key, shared_key},
    request::{FirstRequest, Requests},
};
use crate::{
    backend::{Endpoint, PrefixTokens, PromptCache, SlotCache, Slots, holds, prime},
    keeper::{progress::ActivityTracker, report::PromptUse},
    memory::PromptReuse,
    warm::{Key, PendingSnapshot, Prefix, SnapshotInfo, Store},
};

/// How long the end of the last session waits for a snapshot that is being saved.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);
/// A snapshot is saved after a conversation's first answer only if the server then has to read at most this part of the
/// prompt again, a tenth.
const MAX_LOSS: usize = 10;
/// How often the server is asked whether a request waits for its slot, which is no event.
const QUEUE_CHECK: Duration = Duration::from_millis(50);

/// One run of a server, from when it is up.
pub(crate) struct WarmServer {
    pub(super) store: Store,
    pub(super) found: Found,
    /// The snapshot that it was given, and the tokens of that.
    pub(super) restored: Option<(Key, u64)>,
    pub(super) model: String,
    pub(super) backend: String,
    /// The server's context, in tokens.
    pub(super) context: u32,
    pub(super) client: Client,
    pub(super) endpoint: Endpoint,
    pub(super) activity: Rc<ActivityTracker>,
    /// Whether a snapshot is being saved that the end of the last session waits for.
    pub(super) saving: watch::Sender<bool>,
}

/// The task that keeps a server warm.
pub(crate) struct WarmTask {
    task: JoinHandle<()>,
    is_saving: watch::Receiver<bool>,
}

impl WarmTask {
    /// Starts to keep a server warm that is ready.
    pub(crate) fn start(server: WarmServer, requests: Requests) -> Self {
        let is_saving = server.saving.subscribe();
        WarmTask { task: spawn_local(server.keep(requests)), is_saving }
    }

    /// Waits a short time until a snapshot is saved, and stops.
    pub(crate) async fn finish(mut self) {
        let _ = timeout(FINISH_TIMEOUT, self.is_saving.wait_for(|is_saving| !is_saving)).await;
        self.stop().await;
    }

    /// Stops, and removes what isn't saved yet.
    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

impl WarmServer {
    async fn keep(self, mut requests: Requests) {
        // A session that writes nothing doesn't tell its request, so what is read for it couldn't be stopped.
        let is_cold = self.restored.is_none() && self.store.writes();
        if let Some(known) = self.found.prefix.as_ref().filter(|_| is_cold) {
            // A prompt that starts the same needs what is being read, so it loses nothing when it waits for the only slot. For
            // another one the server stops, and keeps what it has read. Another kind may do both at once, and be slower.
            let is_slot = matches!(self.found.cache, PromptCache::Slot(_));
            let differs = |seen: &Option<(FirstRequest, bool)>| {
                seen.as_ref().is_some_and(|(seen, _)| !is_slot || seen.prefix != known.prefix)
            };
            let others = requests.clone();
            tokio::select! {
                () = self.prime(known, &others) => {}
                _ = requests.wait_for(differs) => {}
            }
            if is_slot {
                // Saving may have been interrupted.
                self.slots().wake_queue(self.context).await;
                // A save that was canceled too late has made its file again.
                self.blocking(|store| drop(store.list())).await;
            }
            self.saving.send_replace(false);
        }
        loop {
            let seen = requests.borrow_and_update().clone();
            if let Some((request, is_alone)) = seen {
                self.record(&request).await;
                if let Some((key, tokens)) = self.restored_for(&request) {
                    tokio::select! {
                        used = self.activity.first_prompt() => self.note_use(key, *tokens, used).await,
                        _ = requests.changed() => requests.mark_changed(),
                    }
                }
                if is_alone && self.is_worth_saving(&request).await {
                    self.saving.send_replace(true);
                    self.save_after_answer(&request.prefix).await;
                    self.saving.send_replace(false);
                }
            }
            if requests.changed().await.is_err() {
                return;
            }
        }
    }

    /// Reads the prefix of an earlier conversation, and saves what is read.
    async fn prime(&self, known: &KnownPrefix, requests: &Requests) {
        let KnownPrefix { prefix, is_own } = known;
        let PromptCache::Slot(slot) = &self.found.cache else {
            if self.found.cache == PromptCache::Memory {
                let prefix = if *is_own { prefix.clone() } else { prefix.clone().anywhere() };
                prime(&self.client, &self.endpoint, &prefix.request(&self.model)).await;
            }
            return;
        };
        let Some(PrefixTokens { all, shared }) = self.slots().tokens(&self.model, prefix).await else { return };
        if slot.reuse == PromptReuse::WholePrefix || !*is_own {
            // Projects share only a snapshot that ends where they begin to differ.
            let key = shared_key(&self.found.server, prefix).filter(|_| slot.reuse == PromptReuse::WholePrefix);
            self.read_and_save(slot, &all[..shared], key, None).await;
        }
        // A conversation that has begun would have to be read again.
        if *is_own && (slot.reuse == PromptReuse::AnyPrefix || requests.borrow().is_none()) {
            self.read_and_save_whole(slot, &all, prefix).await;
        }
    }

    /// Saves a snapshot once the server has answered the request that it has.
    async fn save_after_answer(&self, prefix: &Prefix) {
        let PromptCache::Slot(slot) = &self.found.cache else { return };
        if let Some(tokens) = self.slots().tokens(&self.model, prefix).await {
            self.read_and_save_whole(slot, &tokens.all, prefix).await;
        }
    }

    /// Makes the slot hold a whole prefix, whose tokens these are, and saves it for the project.
    async fn read_and_save_whole(&self, slot: &SlotCache, tokens: &[i32], prefix: &Prefix) {
        let key = project_key(&self.found.server, prefix);
        self.read_and_save(slot, tokens, Some(key), prefix.directory()).await;
    }

    /// Makes the slot hold these tokens, and saves it under `key`.
    async fn read_and_save(&self, slot: &SlotCache, tokens: &[i32], key: Option<Key>, project: Option<&str>) {
        if tokens.is_empty() {
            return;
        }
        let bytes = (tokens.len() as u64).div_ceil(1000).saturating_mul(slot.bytes);
        let pending = match key {
            Some(key) => self.blocking(move |store| store.begin_save(&key, bytes)).await.flatten(),
            None => None,
        };
        let slots = self.slots();
        let Some(pending) = pending else {
            slots.read(tokens, || {}).await;
            return;
        };
        let (queued, is_read, is_started) = (Notify::new(), Cell::new(None), Cell::new(false));
        let is_after_answer = *self.saving.borrow();
        let started = || {
            is_started.set(true);
            self.saving.send_replace(is_after_answer);
            queued.notify_one();
        };
        let read = async {
            let read = slots.read(tokens, started).await;
            is_read.set(Some(read));
            self.saving.send_replace(true);
            queued.notify_one();
        };
        let save = async {
            // Behind the reading, and before all requests that are still to come.
            tokio::select! {
                () = queued.notified() => {}
                // Until the request before it is answered, there is nothing to wait for.
                () = self.wait_until_queued() => if !is_started.get() {
                    self.saving.send_replace(false);
                },
            }
            is_read.get() != Some(false) && slots.save(pending.name()).await
        };
        let ((), is_saved) = tokio::join!(read, save);
        let kept = async {
            if is_saved && is_read.get() == Some(true) {
                self.commit(pending, tokens, project).await;
            }
            self.saving.send_replace(false);
        };
        tokio::join!(slots.wake_queue(self.context), kept);
    }

    /// Returns once a request waits for the server's slot.
    async fn wait_until_queued(&self) {
        loop {
            sleep(QUEUE_CHECK).await;
            if self.slots().has_queue().await {
                return;
            }
        }
    }

    async fn commit(&self, pending: PendingSnapshot, tokens: &[i32], project: Option<&str>) {
        let about = SnapshotInfo {
            model: self.model.clone(),
            backend: self.backend.clone(),
            tokens: tokens.len() as u64,
            project: project.map(str::to_owned),
        };
        let (tokens, model) = (tokens.to_vec(), self.model.clone());
        let kept = self.blocking(move |store| {
            let file = store.directory().join(pending.name());
            match holds(&file, &tokens) {
                Ok(true) => pending.commit(about),
                other => {
                    tracing::warn!(?other, "the slot held something else, so it is not kept");
                    false
                }
            }
        });
        // Not in the macro, which evaluates nothing if the log is off.
        let kept = kept.await;
        tracing::info!(model, ?kept, "snapshot saved");
    }

    /// Returns the snapshot that a request should have reused.
    fn restored_for(&self, request: &FirstRequest) -> Option<&(Key, u64)> {
        let known = self.found.prefix.as_ref().filter(|known| known.prefix == request.prefix)?;
        self.restored.as_ref().filter(|_| known.is_own)
    }

    /// Notes whether a request reused the restored snapshot.
    async fn note_use(&self, key: &Key, tokens: u64, used: PromptUse) {
        tracing::info!(%key, cached = used.cached, total = used.total, "snapshot used");
        let key = key.clone();
        self.blocking(move |store| match used.cached {
            0 => store.miss(&key),
            // The template writes something else today, such as the date.
            cached if cached < tokens / 2 => store.remove_snapshot(&key),
            _ => store.hit(&key),
        })
        .await;
    }

    async fn record(&self, request: &FirstRequest) {
        let FirstRequest { conversation, prefix, .. } = request.clone();
        self.blocking(move |store| {
            if let Ok(record) = serde_json::to_value(&prefix) {
                store.set_record(&conversation.project, &conversation.anywhere, &record);
            }
        })
        .await;
    }

    /// Returns whether a snapshot is missing that costs little now: the server loses what comes after the prefix.
    async fn is_worth_saving(&self, request: &FirstRequest) -> bool {
        let FirstRequest { prefix, size, .. } = request;
        if !matches!(self.found.cache, PromptCache::Slot(_))
            || size.saturating_sub(prefix.size()) > prefix.size() / MAX_LOSS
        {
            return false;
        }
        let key = project_key(&self.found.server, prefix);
        self.blocking(move |store| !store.has_snapshot(&key)).await.unwrap_or(false)
    }

    fn slots(&self) -> Slots<'_> {
        Slots { client: &self.client, endpoint: &self.endpoint }
    }

    /// Works on the store in another thread.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(Store) -> T + Send + 'static) -> Option<T> {
        let store = self.store.clone();
        spawn_blocking(move || work(store)).await.ok()
    }
}
