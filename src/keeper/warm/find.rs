//! What is known about a server's prompts before it starts: what they began with in earlier sessions, and a snapshot.

use super::request::WarmStart;
use crate::{
    backend::{BackendPlan, PromptCache, registry},
    base::{environment::Environment, fingerprint},
    memory::PromptReuse,
    warm::{Key, Prefix, SnapshotFile},
};

/// What was found on the disk.
pub(super) struct Found {
    pub cache: PromptCache,
    /// Names the server, its arguments and the model.
    pub server: Key,
    /// What a conversation of this kind started with.
    pub prefix: Option<KnownPrefix>,
    pub snapshot: Option<(Key, SnapshotFile)>,
}

#[derive(Clone)]
pub(super) struct KnownPrefix {
    pub prefix: Prefix,
    /// Whether it was recorded in the project of the session.
    pub is_own: bool,
}

/// Looks for what was kept, and verifies the snapshot, which reads its whole file.
pub(super) fn find(start: &WarmStart, plan: &BackendPlan) -> Found {
    let (cache, server) = identify(plan);
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

/// Returns what the server can keep, and the name of the server, its arguments and the model.
pub(super) fn identify(plan: &BackendPlan) -> (PromptCache, Key) {
    let environment = Environment::read().ok();
    let cache = environment.map_or(PromptCache::Unknown, |it| registry::backend(plan.kind).prompt_cache(plan, &it));
    let sample = match &cache {
        PromptCache::Slot(slot) => fingerprint::sample(&slot.model).ok(),
        _ => None,
    };
    let server = Key::of(&(plan.id(), sample));
    (cache, server)
}

/// Names the snapshot of a whole prefix.
pub(super) fn project_key(server: &Key, prefix: &Prefix) -> Key {
    Key::of(&(server, prefix))
}

/// Names the snapshot of what a prefix has in common with that of every other project.
pub(super) fn shared_key(server: &Key, prefix: &Prefix) -> Option<Key> {
    Some(Key::of(&(server, "shared", prefix.elsewhere()?)))
}
