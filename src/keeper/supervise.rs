//! Starts a backend, waits until it is ready, and restarts it when it crashes.

use std::{
    cell::{Cell, RefCell},
    os::fd::OwnedFd,
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use reqwest::Client;
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    down::Down,
    leases::{KeeperContext, Leases},
    log::LogLines,
    log_file::LogFile,
    port::{BackendPort, port_taken},
    progress::ActivityTracker,
    protocol::{FromKeeper, Ready},
    record::Recorder,
    spawn::BackendRun,
    start::StartRequest,
    state::KeeperState,
    warm::{ServerLost, Warm, WarmServer, WarmTask},
};
use crate::{
    backend::{
        self, Cause, Endpoint, HOST, LogExcerpt, Noted, Program, Progress, Served, Service, StartError, Starting, Undo,
        diagnose, log, percentage, registry,
    },
    base::{
        commands,
        error::{Code, Failure, RETRY_HELP, Result},
        failpoint,
        port::ReservedPort,
        process::Listener,
        variables::Variables,
    },
};

/// Ports to try before giving up.
const MAX_PORTS: u32 = 5;
/// Log lines of a start that count as progress. A server that logs more of them than any known one isn't waited for
/// without end.
const MAX_PROGRESS_LINES: u32 = 4096;
/// Uptime after which the count of restarts is reset.
const STABLE_AFTER: Duration = Duration::from_secs(600);
/// How long a new keeper waits for the port that the sessions of a lost one hold.
const PORT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest pause before a restart.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The backend of one keeper, across restarts.
pub(crate) struct Supervisor<'a> {
    pub(super) start: StartRequest,
    pub(super) recorder: &'a Recorder,
    pub(super) log: LogFile,
    pub(super) client: Client,
    pub(super) endpoint: Endpoint,
    pub(super) port: BackendPort,
    pub(super) run: Option<BackendRun>,
    pub(super) was_ready: bool,
    /// Total restarts.
    pub(super) restarted: Rc<Cell<u32>>,
    /// The held port, for sessions.
    pub(super) port_descriptor: Rc<RefCell<Option<OwnedFd>>>,
    /// What the server is doing.
    pub(super) activity: Rc<ActivityTracker>,
    /// How to undo changes to a server that keeps running.
    pub(super) undo: RefCell<Vec<Undo>>,
    warm: Warm,
    /// The server that is up, until it is kept warm.
    warm_server: Option<WarmServer>,
    pub(super) warm_task: Option<WarmTask>,
}

impl<'a> Supervisor<'a> {
    /// `recorder`: keeps what another keeper needs if this one is killed, and has what the previous one didn't undo.
    pub(crate) fn new(start: StartRequest, recorder: &'a Recorder, context: &KeeperContext, leases: &Leases) -> Self {
        let (url, client) = match &start.plan.service {
            Service::Running(url) => (url.clone(), backend::client_for(url)),
            Service::Program(_) | Service::Managed { .. } => (String::new(), backend::client()),
        };
        let token = start.token.clone();
        let new = || Endpoint::new(url, 0, token.unwrap_or_else(new_token));
        Supervisor {
            log: LogFile::create(&start.log),
            client,
            endpoint: start.endpoint.clone().unwrap_or_else(new),
            port: BackendPort::default(),
            run: None,
            was_ready: start.endpoint.is_some(),
            restarted: context.restarted.clone(),
            port_descriptor: context.port.clone(),
            activity: context.activity.clone(),
            undo: RefCell::new(recorder.undo()),
            warm: Warm::new(start.warm.clone(), &start.plan, leases.requests(), context.activity.clone()),
            warm_server: None,
            warm_task: None,
            recorder,
            start,
        }
    }

    /// Runs the backend and publishes its state. Returns only when it can't be restarted.
    ///
    /// May be dropped at any point; [`Supervisor::end`] then stops what runs.
    pub(crate) async fn keep_running(&mut self, state: &KeeperState, leases: &Leases) -> Down {
        let mut restarts = 0;
        loop {
            let was_ready = self.was_ready;
            let up = self.bring_up(state, leases).await;
            let up_since = Instant::now();
            let failure = match up {
                Ok(served) => {
                    self.was_ready = true;
                    self.port_descriptor.replace(self.port.descriptor());
                    tracing::info!(endpoint = ?self.endpoint, ?served, "backend ready");
                    failpoint::reach("keeper-ready");
                    state.set(FromKeeper::Ready(Ready {
                        endpoint: self.endpoint.clone(),
                        served,
                        group: self.run.as_ref().map(|run| run.group),
                    }));
                    self.warm_task =
                        self.warm_server.take().map(|server| WarmTask::start(server, self.warm.requests()));
                    let failure = self.wait_until_down().await;
                    self.warm.go_cold();
                    if let Some(task) = self.warm_task.take() {
                        task.stop().await;
                    }
                    failure
                }
                Err(down) if !was_ready => return down,
                Err(down) => {
                    let failure = Failure::from(down);
                    let what = format!("{} crashed and could not be restarted", self.start.plan.name());
                    Failure { what, ..failure }.help(RETRY_HELP)
                }
            };
            if up_since.elapsed() > STABLE_AFTER {
                restarts = 0;
            }
            if restarts >= self.start.lifetime.restarts {
                return Down::Failed(failure);
            }
            let reason = failure.why.unwrap_or(failure.what);
            tracing::warn!(reason, restarts, "restarting backend");
            self.restarted.update(|restarted| restarted + 1);
            state.set(FromKeeper::Restarting { reason });
            // The first restart is immediate, since a turn is waiting for it.
            sleep((Duration::from_millis(500) * restarts * restarts).min(MAX_PAUSE)).await;
            restarts += 1;
        }
    }

    async fn bring_up(&mut self, state: &KeeperState, leases: &Leases) -> Result<Served, Down> {
        let Service::Program(program) = self.start.plan.service.clone() else {
            return self.attach(state).await;
        };
        self.stop_run().await;
        for _ in 0..MAX_PORTS {
            self.reserve(&program, leases).await?;
            if self.was_ready && program.lends_port() {
                leases.wait_until_held().await;
            }
            if let Some(command) = program.stop.clone() {
                let (endpoint, log) = (self.endpoint.clone(), self.start.log.clone());
                self.undo.get_mut().push(Undo::Stop { command, endpoint, log });
                let undo = self.undo.get_mut().clone();
                self.recorder.change(|record| record.undo = undo).await;
            }
            let search = self.warm.look().await;
            let lines = self.spawn(&program)?;
            failpoint::reach("backend-spawned");
            let (group, endpoint) = (self.run.as_ref().map(|run| run.group), self.endpoint.clone());
            self.recorder.change(|record| (record.backend, record.endpoint) = (group, Some(endpoint))).await;
            let unfit = match self.wait_until_ready(Some(lines), state).await {
                Ok(mut served) => match self.warm.restore(search, &self.client, &self.endpoint).await {
                    Ok(server) => {
                        self.warm_server = server;
                        served.notes.extend(self.port.warning());
                        return Ok(served);
                    }
                    Err(ServerLost) => {
                        self.warm.go_cold();
                        self.end_run().await;
                        continue;
                    }
                },
                Err(unfit) => unfit,
            };
            self.end_run().await;
            match unfit {
                StartError::ModelMissing(missing) => return Err(Down::ModelMissing(missing)),
                StartError::Failed(failure) => return Err(failure.into()),
                StartError::NotOurs if self.port.release_next_time() => {}
                // Claude Code already uses this port, so another one won't do.
                StartError::NotOurs if self.was_ready => return Err(port_taken(self.endpoint.port).into()),
                StartError::NotOurs => self.port.give_up(),
            }
        }
        Err(Failure::new(Code::Unavailable, format!("{} did not start", self.start.plan.name()))
            .cause(format!("other programs took all {MAX_PORTS} ports it was given"))
            .help(commands::list_listeners())
            .help(RETRY_HELP)
            .into())
    }

    /// Uses a server that is already running.
    async fn attach(&mut self, state: &KeeperState) -> Result<Served, Down> {
        let search = self.warm.look().await;
        let served = self.wait_until_ready(None, state).await.map_err(|unfit| match unfit {
            StartError::ModelMissing(missing) => Down::ModelMissing(missing),
            StartError::Failed(failure) => failure.into(),
            StartError::NotOurs => backend::unexpected_response(&self.start.plan.name(), &self.endpoint.url).into(),
        })?;
        if let Some(url) = &served.at {
            self.endpoint.url.clone_from(url);
        }
        let endpoint = self.endpoint.clone();
        self.recorder.change(|record| record.endpoint = Some(endpoint)).await;
        // There is nothing to restore.
        self.warm_server = self.warm.restore(search, &self.client, &self.endpoint).await.unwrap_or(None);
        Ok(served)
    }

    /// Returns the path of the file generated for the program.
    pub(super) fn preset_file(&self) -> PathBuf {
        self.start.runtime.join(format!("{}.preset", self.start.plan.id()))
    }

    /// Reserves the port that sessions use already, or any free one.
    async fn reserve(&mut self, program: &Program, leases: &Leases) -> Result<()> {
        let wanted = Some(self.endpoint.port).filter(|_| self.was_ready);
        let reserved = match self.port.reserve(program, wanted) {
            // The sessions of a lost keeper hold it, and pass it on when they come.
            Err(_) if self.was_ready && program.lends_port() => {
                if let Ok(port) = timeout(PORT_TIMEOUT, leases.port()).await {
                    self.port = BackendPort::new(ReservedPort::adopt(port).ok());
                } else {
                    // They are suspended, and must not stop this one. They are told when they come.
                    self.was_ready = false;
                    self.endpoint = Endpoint::new(String::new(), 0, new_token());
                }
                self.port.reserve(program, Some(self.endpoint.port).filter(|_| self.was_ready))
            }
            reserved => reserved,
        };
        self.endpoint.port = reserved?;
        self.endpoint.url = format!("http://{HOST}:{}", self.endpoint.port);
        Ok(())
    }

    /// Starts the program and returns a channel of its log lines.
    fn spawn(&mut self, program: &Program) -> Result<LogLines> {
        self.port.lend();
        self.activity.reset();
        let (log, tracker) = (self.log.clone(), self.activity.clone());
        let (run, lines) = BackendRun::start(program, &self.endpoint, &self.preset_file(), log, tracker)?;
        self.run = Some(run);
        Ok(lines)
    }

    /// Waits until the backend is ready, as long as it makes progress.
    async fn wait_until_ready(
        &mut self,
        mut lines: Option<LogLines>,
        state: &KeeperState,
    ) -> Result<Served, StartError> {
        let group = self.run.as_ref().map(|run| run.group);
        let note = |undo: Undo| -> Noted<'_> {
            undo.add_to(&mut self.undo.borrow_mut());
            let all = self.undo.borrow().clone();
            Box::pin(self.recorder.change(|record| record.undo = all))
        };
        let (progress, mut news) = mpsc::unbounded_channel();
        let new_log_line = Notify::new();
        let plan = &self.start.plan;
        let has_waiting = self.was_ready && plan.lends_port();
        let listener = || {
            let listener = group.map_or(Listener::Ours, |group| self.port.listener(group));
            if listener == Listener::Ours && has_waiting && !state.is(&FromKeeper::Listening) {
                // Claude Code may continue, though the model is still loading.
                state.set(FromKeeper::Listening);
            }
            listener
        };
        let kind = registry::backend(plan.kind);
        let variables = Variables::read();
        let starting = Starting {
            variables: &variables,
            client: &self.client,
            endpoint: &self.endpoint,
            progress: progress.clone(),
            new_log_line: &new_log_line,
            may_pull: self.start.may_pull,
            note: &note,
            listener: &listener,
        };
        let mut up = std::pin::pin!(kind.bring_up(plan, &starting));
        let limit = self.start.lifetime.startup_timeout;
        let mut deadline = Instant::now() + limit;
        let mut last: Option<Progress> = None;
        let mut progress_lines = MAX_PROGRESS_LINES;
        loop {
            let ended = async {
                match &mut self.run {
                    Some(run) => run.child.wait().await.ok(),
                    None => std::future::pending().await,
                }
            };
            let line = async {
                match &mut lines {
                    Some(lines) => lines.next().await,
                    None => None,
                }
            };
            tokio::select! {
                biased;
                status = ended => {
                    let log = match &mut self.run {
                        Some(run) => run.log.excerpt().await,
                        None => LogExcerpt::default(),
                    };
                    return Err(match diagnose(status, &log) {
                        Cause::AddressInUse => {
                            self.port.record_refusal();
                            StartError::NotOurs
                        }
                        cause => StartError::Failed(kind.start_failure(cause, plan, status, log)),
                    });
                }
                served = &mut up => return served,
                Some(step) = news.recv() => {
                    // A health check knows less than the log about the same stage.
                    let adds = |last: &Progress| last.stage != step.stage || step.fraction.is_some() || !step.detail.is_empty();
                    if last.as_ref() != Some(&step) && last.as_ref().is_none_or(adds) {
                        // A change of `detail` isn't progress: a stalled download still updates its estimated time.
                        let moved = |last: &Progress| last.stage != step.stage || last.fraction != step.fraction;
                        if last.as_ref().is_none_or(moved) {
                            deadline = Instant::now() + limit;
                        }
                        if !state.is_restarting() {
                            state.set(FromKeeper::Progress(step.clone()));
                        }
                        last = Some(step);
                    }
                }
                () = sleep_until(deadline) => {
                    let log = self.run.as_ref().map(|run| run.log.peek()).unwrap_or_default();
                    let error = log.first_error().map(|error| format!("; {error}")).unwrap_or_default();
                    return Err(StartError::Failed(
                        Failure::new(Code::NotReady, format!("{} was not ready in time", plan.name()))
                            .cause(format!("no progress for {}{error}", humantime::format_duration(limit)))
                            .log_tail(log.lines())
                            .help("lclaude local config set lifetime.startup_timeout 30m  # waits longer"),
                    ));
                }
                // Last, so that a log that never stops can't hold up the rest.
                Some(line) = line => {
                    if let Some(step) = kind.progress(&line) {
                        let _ = progress.send(step);
                    } else if kind.shows_log() && progress_lines > 0 {
                        progress_lines -= 1;
                        deadline = Instant::now() + limit;
                        let stage = last.as_ref().map_or("starting the server", |last| &last.stage);
                        starting.report(stage, percentage::progress(&line), log::shown(&line));
                    }
                    new_log_line.notify_one();
                }
            }
        }
    }
}

/// Returns 128 bits from the system's random number generator, as hex.
fn new_token() -> String {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).expect("the system's random numbers need no file and no memory");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
