//! Bringing a backend up, telling when it answers, and bringing it back when it crashes.

use crate::base::variables::Variables;
use std::{
    cell::{Cell, RefCell},
    fs, io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::Stdio,
    rc::Rc,
    time::Duration,
};

use reqwest::Client;
use rustix::process::Signal;
use tokio::{
    process::{Child, Command},
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

use super::{
    log::{LogFile, Reader},
    patience::AGAIN,
    protocol::{FromKeeper, Ready},
    start::Start,
};
use crate::{
    backend::{
        self, Cause, Endpoint, HOST, Program, Progress, Served, Service, Starting, Undo, Unfit, describe_status,
        diagnose, registry,
    },
    base::{
        error::{Code, Failure, Result},
        port::{self, Reserved},
        process::{Ending, Group, Identity, die_with_parent, output},
    },
};

/// Ports tried before giving up.
const PORTS: u32 = 5;
/// A backend that stayed up for this long has its count of restarts forgiven.
const STABLE: Duration = Duration::from_secs(600);
/// Between two looks at a server that is no child of ours.
const WATCH: Duration = Duration::from_secs(3);

/// The backend of one keeper, through all its runs.
pub struct Supervisor {
    start: Start,
    log: Rc<RefCell<LogFile>>,
    client: Client,
    endpoint: Endpoint,
    reserved: Option<Reserved>,
    run: Option<Run>,
    was_ready: bool,
    /// How often it was started again, in all.
    restarted: Rc<Cell<u32>>,
    /// What was done to a server that goes on without us.
    undo: RefCell<Vec<Undo>>,
}

/// One run of the program.
struct Run {
    child: Child,
    group: Group,
    log: Reader,
}

impl Supervisor {
    /// `undo`: what a keeper before this one had done and could not undo.
    pub fn new(start: Start, undo: Vec<Undo>, restarted: Rc<Cell<u32>>) -> Self {
        let (url, client) = match &start.plan.service {
            Service::Running(url) => (url.clone(), backend::client_for(url)),
            Service::Program(_) | Service::Managed { .. } => (String::new(), backend::client()),
        };
        let token = start.token.clone();
        let fresh = || Endpoint { url, port: 0, token: token.unwrap_or_else(new_token) };
        Supervisor {
            log: Rc::new(RefCell::new(LogFile::create(&start.log))),
            client,
            endpoint: start.endpoint.clone().unwrap_or_else(fresh),
            reserved: None,
            run: None,
            was_ready: start.endpoint.is_some(),
            restarted,
            undo: RefCell::new(undo),
            start,
        }
    }

    /// Keeps the backend up and says what happens; returns only when it is down for good. `started` hears of every
    /// group of processes and of what is to be undone, so that others can see to it.
    ///
    /// May be dropped at any point; [`Supervisor::end`] then ends what runs.
    pub async fn keep_up(
        &mut self,
        state: &watch::Sender<FromKeeper>,
        started: impl Fn(Option<Group>, &[Undo]),
    ) -> Failure {
        let mut restarts = 0;
        loop {
            let was_ready = self.was_ready;
            let up = self.bring_up(state, &started).await;
            let up_since = Instant::now();
            let failure = match up {
                Ok(served) => {
                    self.was_ready = true;
                    tracing::info!(endpoint = ?self.endpoint, ?served, "backend ready");
                    state.send_replace(FromKeeper::Ready(Ready {
                        endpoint: self.endpoint.clone(),
                        served,
                        group: self.run.as_ref().map(|run| run.group),
                    }));
                    self.until_it_ends().await
                }
                Err(failure) if !was_ready => return failure,
                Err(failure) => {
                    let what = format!("{} crashed and could not be started again", self.start.plan.name());
                    Failure { what, ..failure }.help(AGAIN)
                }
            };
            if up_since.elapsed() > STABLE {
                restarts = 0;
            }
            if restarts >= self.start.lifetime.restarts {
                return failure;
            }
            let reason = failure.why.unwrap_or(failure.what);
            tracing::warn!(reason, restarts, "backend is started again");
            self.restarted.update(|restarted| restarted + 1);
            state.send_replace(FromKeeper::Restarting { reason });
            // The first restart is immediate: a turn is waiting for it.
            sleep(Duration::from_millis(500) * restarts * restarts).await;
            restarts += 1;
        }
    }

    /// Ends the backend and everything in its group, or what was done to one that is not ours.
    pub async fn end(&mut self) {
        self.end_run().await;
        // The last first.
        while let Some(undo) = self.undo.get_mut().last() {
            registry::undo(undo).await;
            self.undo.get_mut().pop();
        }
    }

    async fn end_run(&mut self) {
        if let (Some(run), Service::Program(program)) = (&mut self.run, &self.start.plan.service) {
            let reap = run.child.wait();
            // A group is empty only when its leader has been waited for.
            let _ = tokio::join!(run.group.end(program.ending), reap);
        }
        // Only now: whoever drops this half-way can call it again.
        self.run = None;
        let _ = fs::remove_file(self.file());
        if self.was_ready && self.reserved.is_none() {
            // Nobody else may take it before the next start does.
            self.reserved = port::hold(Some(self.endpoint.port)).ok();
        }
    }

    async fn bring_up(
        &mut self,
        state: &watch::Sender<FromKeeper>,
        started: &impl Fn(Option<Group>, &[Undo]),
    ) -> Result<Served> {
        let Service::Program(program) = self.start.plan.service.clone() else {
            return self.attach(state, started).await;
        };
        for _ in 0..PORTS {
            self.reserve(&program)?;
            let lines = self.spawn(&program)?;
            started(self.run.as_ref().map(|run| run.group), &[]);
            let unfit = match self.until_ready(Some(lines), state, started).await {
                Ok(served) => return Ok(served),
                Err(unfit) => unfit,
            };
            self.end_run().await;
            match unfit {
                Unfit::Failed(failure) => return Err(failure),
                // Claude Code knows this port, so no other one will do.
                Unfit::Stranger if self.was_ready => return Err(stranger(self.endpoint.port)),
                Unfit::Stranger => self.reserved = None,
            }
        }
        Err(Failure::new(Code::Unavailable, format!("{} did not start", self.start.plan.name()))
            .why(format!("each of the {PORTS} ports it was given was taken by another program"))
            .help("ss -tlnp shows who takes them; run the same command again"))
    }

    /// Uses a server that runs already.
    async fn attach(
        &mut self,
        state: &watch::Sender<FromKeeper>,
        started: &impl Fn(Option<Group>, &[Undo]),
    ) -> Result<Served> {
        let served = self.until_ready(None, state, started).await.map_err(|unfit| match unfit {
            Unfit::Failed(failure) => failure,
            Unfit::Stranger => backend::unexpected_response(&self.start.plan.name(), &self.endpoint.url),
        })?;
        if let Some(url) = &served.at {
            self.endpoint.url.clone_from(url);
        }
        Ok(served)
    }

    /// Where the program's own file is.
    fn file(&self) -> PathBuf {
        self.start.runtime.join(format!("{}.preset", self.start.plan.id()))
    }

    fn reserve(&mut self, program: &Program) -> Result<()> {
        if self.reserved.is_none() {
            let wanted = Some(self.endpoint.port).filter(|_| self.was_ready);
            let reserved = if program.shares_port { port::reserve(wanted) } else { port::hold(wanted) };
            let reserved = reserved.map_err(port::none_free)?;
            self.endpoint.port = reserved.port;
            self.endpoint.url = format!("http://{HOST}:{}", reserved.port);
            self.reserved = Some(reserved);
        }
        Ok(())
    }

    /// Starts the program and gives the lines of its log.
    fn spawn(&mut self, program: &Program) -> Result<mpsc::UnboundedReceiver<String>> {
        let failed = |error: io::Error| {
            Failure::new(Code::Unavailable, format!("{} could not be started", program.path.display()))
                .why(error)
                .help(format!("file {}", program.path.display()))
        };
        let (read, write) = output(program.terminal).map_err(failed)?;
        let (log, lines) = Reader::start(read, self.log.clone()).map_err(failed)?;
        let file = self.file();
        if let Some(content) = &program.file {
            fs::write(&file, content).map_err(failed)?;
        }
        let mut command = program.command(&self.endpoint, &file);
        let stdout = write.try_clone().map_err(failed)?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(write).process_group(0);
        // A server that ends its own children must have the chance to: killed, Ollama leaves its runners.
        let death = if program.ending == Ending::Kill { Signal::KILL } else { Signal::TERM };
        die_with_parent(&mut command, death);
        if !program.shares_port {
            self.reserved = None;
        }
        let child = Command::from(command).spawn().map_err(failed)?;
        let leader = child.id().and_then(Identity::of);
        let leader = leader.unwrap_or(Identity { pid: child.id().map_or(0, |id| id.cast_signed()), start: 0 });
        self.run = Some(Run { child, group: Group::led_by(leader), log });
        Ok(lines)
    }

    /// Waits until the backend can answer, for as long as it gets on.
    async fn until_ready(
        &mut self,
        mut lines: Option<mpsc::UnboundedReceiver<String>>,
        state: &watch::Sender<FromKeeper>,
        started: &impl Fn(Option<Group>, &[Undo]),
    ) -> Result<Served, Unfit> {
        let group = self.run.as_ref().map(|run| run.group);
        let note = |undo: Undo| {
            let mut all = self.undo.borrow_mut();
            undo.add_to(&mut all);
            started(group, &all);
        };
        let (progress, mut news) = mpsc::unbounded_channel();
        let line_came = Notify::new();
        let plan = &self.start.plan;
        let kind = registry::backend(plan.kind);
        let variables = Variables::read();
        let starting = Starting {
            variables: &variables,
            client: &self.client,
            endpoint: &self.endpoint,
            progress: progress.clone(),
            line_came: &line_came,
            may_pull: self.start.may_pull,
            note: &note,
        };
        let mut up = std::pin::pin!(kind.bring_up(plan, &starting));
        let limit = self.start.lifetime.startup_timeout;
        let mut deadline = Instant::now() + limit;
        let mut last: Option<Progress> = None;
        loop {
            let ended = async {
                match &mut self.run {
                    Some(run) => run.child.wait().await.ok(),
                    None => std::future::pending().await,
                }
            };
            let line = async {
                match &mut lines {
                    Some(lines) => lines.recv().await,
                    None => None,
                }
            };
            tokio::select! {
                biased;
                status = ended => {
                    let log = match &mut self.run {
                        Some(run) => run.log.tail().await,
                        None => Vec::new(),
                    };
                    return Err(match diagnose(status, &log) {
                        Cause::AddressInUse => Unfit::Stranger,
                        cause => Unfit::Failed(kind.start_failure(cause, plan, status, log)),
                    });
                }
                served = &mut up => return served,
                Some(line) = line => {
                    if let Some(step) = kind.progress(&line) {
                        let _ = progress.send(step);
                    }
                    line_came.notify_one();
                }
                Some(step) = news.recv() => {
                    if last.as_ref() != Some(&step) {
                        // Words may change while nothing moves, such as the time that a stalled download still needs.
                        let moved = |last: &Progress| last.stage != step.stage || last.fraction != step.fraction;
                        if last.as_ref().is_none_or(moved) {
                            deadline = Instant::now() + limit;
                        }
                        if !matches!(*state.borrow(), FromKeeper::Restarting { .. }) {
                            state.send_replace(FromKeeper::Progress(step.clone()));
                        }
                        last = Some(step);
                    }
                }
                () = sleep_until(deadline) => {
                    let log = self.run.as_ref().map(|run| run.log.peek()).unwrap_or_default();
                    return Err(Unfit::Failed(
                        Failure::new(Code::NotReady, format!("{} was not ready in time", plan.name()))
                            .why(format!("nothing moved for {}", humantime::format_duration(limit)))
                            .log_tail(log)
                            .help("[lifetime] startup_timeout = \"30m\" waits longer"),
                    ));
                }
            }
        }
    }

    /// Nobody tells of the end of a server that is no child of ours, so it is looked at from time to time.
    async fn until_it_is_gone(&self) -> Failure {
        let plan = &self.start.plan;
        let kind = registry::backend(plan.kind);
        let mut missed = false;
        loop {
            sleep(WATCH).await;
            let there = kind.is_still_there(plan, &self.client, &self.endpoint).await;
            // Once may be a server that is busy.
            if !there && missed {
                return Failure::new(Code::Unavailable, format!("{} is no longer there", plan.name()))
                    .why(format!("it has ended, or unloaded {}", plan.models.join(", ")))
                    .help(AGAIN);
            }
            missed = !there;
        }
    }

    /// Waits for the end of the backend.
    async fn until_it_ends(&mut self) -> Failure {
        let Some(run) = &mut self.run else {
            return self.until_it_is_gone().await;
        };
        let status = run.child.wait().await.ok();
        // What it started is of no use without it, and may hold its memory, and its log open.
        run.group.end(Ending::Kill).await;
        let log = run.log.tail().await;
        self.end_run().await;
        // Anybody may have killed it, so only its own words tell of memory.
        let why = match diagnose(None, &log) {
            Cause::OutOfMemory => format!("out of memory ({})", describe_status(status)),
            _ => format!("it ended with {}", describe_status(status)),
        };
        Failure::new(Code::Unavailable, format!("{} crashed", self.start.plan.name()))
            .why(why)
            .log_tail(log)
            .help(AGAIN)
    }
}

fn stranger(port: u16) -> Failure {
    Failure::new(Code::Unavailable, format!("port {port} is answered by another program"))
        .why("it did not accept our key, so it is not the backend that was started")
        .help(AGAIN)
}

/// 128 bits from the system's generator, as hex.
fn new_token() -> String {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).expect("the system's random numbers need no file and no memory");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
