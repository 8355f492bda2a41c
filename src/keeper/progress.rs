//! What the server is doing, from the lines of its log. While somebody watches, the server is asked too, at most once a
//! second and only while it works on a request.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use reqwest::Client;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    report::{Activity, Phase, PromptUse},
    requests::Requests,
};
use crate::{
    backend::{self, ActivityEvent, Backend, Endpoint, registry},
    config::Kind,
};

/// The shortest time between two questions to the server, and between two messages to a session.
const PERIOD: Duration = Duration::from_secs(1);

/// Follows what the server of one keeper is doing.
pub(crate) struct ActivityTracker {
    kind: &'static dyn Backend,
    /// Whether the server can be asked: the router would ask each of its servers.
    is_asked: bool,
    requests: RefCell<Requests>,
    phase: watch::Sender<Phase>,
    client: RefCell<Option<Client>>,
    asked: Cell<Option<Instant>>,
    is_asking: Cell<bool>,
}

/// The last activity that a session was told, and when.
pub(crate) struct Told {
    activity: Activity,
    at: Option<Instant>,
}

impl Default for Told {
    fn default() -> Self {
        Told { activity: Activity::idle(), at: None }
    }
}

impl ActivityTracker {
    /// `models`: how many the backend serves.
    pub(crate) fn new(kind: Kind, models: usize) -> Self {
        ActivityTracker {
            kind: registry::backend(kind),
            is_asked: models == 1,
            requests: RefCell::default(),
            phase: watch::channel(Phase::Idle).0,
            client: RefCell::default(),
            asked: Cell::default(),
            is_asking: Cell::default(),
        }
    }

    /// Reads a line of the log.
    pub(crate) fn read(&self, line: &str) {
        if let Some(event) = self.kind.activity(line) {
            self.take(event);
        }
    }

    fn take(&self, event: ActivityEvent) {
        let mut requests = self.requests.borrow_mut();
        requests.take(event, Instant::now());
        let phase = requests.phase();
        self.phase.send_if_modified(|before| std::mem::replace(before, phase) != phase);
    }

    /// Forgets the requests of a server that has ended.
    pub(crate) fn reset(&self) {
        self.requests.replace(Requests::default());
        self.phase.send_replace(Phase::Idle);
    }

    /// Returns how much of the server's first prompt was cached, once that prompt is answered and as long as there was no
    /// other. Otherwise it stays pending.
    pub(crate) async fn first_prompt(&self) -> PromptUse {
        let mut phase = self.phase.subscribe();
        loop {
            phase.borrow_and_update();
            if let Some((prompt, 1)) = self.requests.borrow().last_prompt() {
                return prompt;
            }
            // The sender is this tracker's.
            let _ = phase.changed().await;
        }
    }

    /// Returns what the server is doing, or `None` if its kind doesn't report that. Also asks the server at `endpoint`,
    /// for the next call.
    pub(crate) fn look(self: &Rc<Self>, endpoint: &Endpoint) -> Option<Activity> {
        if !self.kind.reports_activity() {
            return None;
        }
        if self.is_asked && *self.phase.borrow() != Phase::Idle {
            self.ask(endpoint);
        }
        Some(self.requests.borrow().activity(Instant::now()))
    }

    fn ask(self: &Rc<Self>, endpoint: &Endpoint) {
        if self.is_asking.get() || self.asked.get().is_some_and(|at| at.elapsed() < PERIOD) {
            return;
        }
        self.is_asking.set(true);
        self.asked.set(Some(Instant::now()));
        let client = self.client.borrow_mut().get_or_insert_with(|| backend::figures_client(&endpoint.url)).clone();
        let (tracker, endpoint) = (self.clone(), endpoint.clone());
        tokio::task::spawn_local(async move {
            let answer = tracker.kind.ask_activity(&client, &endpoint).await;
            tracker.is_asking.set(false);
            if let Some(event) = answer {
                tracker.take(event);
            }
        });
    }

    /// Returns the next activity that differs from the last one: at once when a phase begins, and otherwise once a second. Waits
    /// without waking up while the server does nothing.
    pub(crate) async fn next(self: &Rc<Self>, last: &mut Told, endpoint: &Endpoint) -> Activity {
        let mut phase = self.phase.subscribe();
        loop {
            let is_busy = *phase.borrow_and_update() != Phase::Idle;
            let now = self.look(endpoint).unwrap_or_else(Activity::idle);
            let is_due = last.at.is_none_or(|at| at.elapsed() >= PERIOD);
            if now.phase != last.activity.phase || (is_busy && is_due && now != last.activity) {
                *last = Told { activity: now.clone(), at: Some(Instant::now()) };
                return now;
            }
            let next = if is_due { Instant::now() } else { last.at.unwrap_or_else(Instant::now) };
            tokio::select! {
                // The sender is this tracker's.
                _ = phase.changed() => {}
                () = sleep_until(next + PERIOD), if is_busy => {}
            }
        }
    }
}
