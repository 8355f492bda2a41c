//! The models that a session on a private server can switch to: the server loads whichever a request names.
//!
//! A model counts only if the pick keeps what lclaude promises: it can call tools, runs on this machine, fits in its
//! memory, and takes the context that Claude Code was told. Its file's header has to be read for that, which takes about
//! 10 ms for a large vocabulary, so it is done while the session's own model loads.

use std::{path::Path, thread, time::Duration};

use tokio::{sync::oneshot, time::timeout};

use super::{listing, models, store};
use crate::{
    backend::{
        plan::{BackendPlan, Service},
        served::Served,
    },
    base::variables::Variables,
    memory::{Estimate, Fit, Layout, Machine},
};

/// The most models that are read, and shown in the model picker.
const MOST: usize = 20;
/// How long to wait for them once the session's own model is loaded.
const PATIENCE: Duration = Duration::from_millis(100);

/// The models, as soon as they are known.
pub(crate) struct Others(oneshot::Receiver<Vec<Other>>);

struct Other {
    name: String,
    /// The most tokens that it takes.
    context: u32,
    thinks: bool,
}

impl Others {
    /// Starts to read the models in the plan's store. Finds none for a server of the user's own, whose settings decide
    /// about the context of a model that it loads.
    pub(crate) fn read(plan: &BackendPlan, variables: &Variables) -> Self {
        let (sender, receiver) = oneshot::channel();
        if let Some(home) = variables.path("HOME").filter(|_| models::in_cloud(plan).is_none()) {
            let plan = plan.clone();
            // Not a thread of the runtime, whose end would wait for it.
            thread::spawn(move || sender.send(find(&plan, &home)));
        }
        Others(receiver)
    }

    /// Returns the names of the models that take what Claude Code sends to the session's own model: as many tokens, and
    /// requests to think.
    pub(crate) async fn like(self, served: &Served) -> Vec<String> {
        let found = timeout(PATIENCE, self.0).await.ok().and_then(Result::ok).unwrap_or_default();
        let fits = |other: &Other| other.context >= served.context && (other.thinks || !served.thinking);
        found.into_iter().filter(fits).map(|other| other.name).collect()
    }
}

fn find(plan: &BackendPlan, home: &Path) -> Vec<Other> {
    let (Some(place), Service::Program(program)) = (store::of(plan, home), &plan.service) else {
        return Vec::new();
    };
    let layout = Layout::new(plan.context);
    let layout = program.environment.get("OLLAMA_KV_CACHE_TYPE").map_or(layout.clone(), |kind| layout.with_cache(kind));
    let is_own = |name: &String| plan.models.iter().any(|model| store::is_same(model, name));
    let names = store::stored(&place).into_iter().filter(|name| !is_own(name)).take(MOST);
    let mut machine = Machine::detect();
    let mut is_complete = false;
    let mut found = Vec::new();
    for name in names {
        let listed = listing::of_store(&layout, &place, &name);
        let Some(model) = listed.model.filter(|_| listed.tools == Some(true)) else { continue };
        // What the server will grant it.
        let context = model.layout.context;
        let estimate = Estimate { models: vec![model], kept_prompts: 0, cache_setting: None };
        let is_too_large = |machine: &Machine| estimate.is_partial() || estimate.fit(machine) == Fit::No;
        if machine.as_ref().is_some_and(is_too_large) && !std::mem::replace(&mut is_complete, true) {
            // The drivers' programs are slow, so they are asked only if it matters, and once.
            machine = machine.map(Machine::with_tools);
        }
        if machine.as_ref().is_some_and(|machine| !is_too_large(machine)) {
            found.push(Other { name, context, thinks: listed.thinking == Some(true) });
        }
    }
    found
}
