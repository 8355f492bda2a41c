//! The end of a run of a backend: noticing it, and ending all that belongs to it.

use std::{fs, time::Duration};

use tokio::time::sleep;

use super::supervise::Supervisor;
use crate::{
    backend::{Cause, Presence, Service, Undo, describe_status, diagnose, registry},
    base::{
        error::{Code, Failure, RETRY_HELP},
        process::{Ending, wait_for_children},
    },
};

/// How long a killed command may take to exit.
const CHILD_TIMEOUT: Duration = Duration::from_secs(1);
/// Time between two checks of a server that lclaude didn't start.
const CHECK_INTERVAL: Duration = Duration::from_secs(3);

impl Supervisor<'_> {
    /// Waits for the end of a server that isn't our child, by checking it regularly.
    async fn wait_until_gone(&self) -> Failure {
        let plan = &self.start.plan;
        let kind = registry::backend(plan.kind);
        let mut missed = false;
        loop {
            sleep(CHECK_INTERVAL).await;
            let presence = kind.presence(plan, &self.client, &self.endpoint).await;
            // A server that is being restarted refuses one check.
            if presence == Presence::Gone && missed {
                return Failure::new(Code::Unavailable, format!("{} is no longer available", plan.name()))
                    .cause(format!("it exited or unloaded {}", plan.models.join(", ")))
                    .help(RETRY_HELP);
            }
            missed = presence == Presence::Gone;
        }
    }

    /// Waits until the backend is down and cleans up after it.
    pub(super) async fn wait_until_down(&mut self) -> Failure {
        let Some(run) = &mut self.run else {
            return self.wait_until_gone().await;
        };
        let status = run.child.wait().await.ok();
        // At once, since on some systems the port was released.
        self.port.take_back();
        // What it started is useless without it, and may hold memory, the port and the log pipe.
        run.end(Ending::Kill).await;
        let log = run.log.excerpt().await.end();
        self.end_run().await;
        // SIGKILL alone doesn't mean out of memory, since anyone may have sent it, so only the log counts.
        let why = match (diagnose(None, &log), log.first_error()) {
            (Cause::OutOfMemory, _) => format!("out of memory (it {})", describe_status(status)),
            (_, Some(error)) => format!("it {}: {error}", describe_status(status)),
            (_, None) => format!("it {}", describe_status(status)),
        };
        Failure::new(Code::Unavailable, format!("{} crashed", self.start.plan.name()))
            .cause(why)
            .log_tail(log.lines())
            .help(RETRY_HELP)
    }

    /// Stops the backend and all that it started, or undoes the changes to a server that lclaude didn't start.
    pub(crate) async fn end(&mut self) {
        if let Some(task) = self.warm_task.take() {
            task.finish().await;
        }
        self.end_run().await;
        // In reverse order.
        while let Some(undo) = self.undo.get_mut().last() {
            registry::undo(undo).await;
            self.undo.get_mut().pop();
        }
        wait_for_children(CHILD_TIMEOUT).await;
        self.log.close().await;
    }

    /// Runs the `stop` command of the last run, also of a lost keeper's.
    pub(super) async fn stop_run(&mut self) {
        let is_stop = |undo: &Undo| matches!(undo, Undo::Stop { .. });
        while let Some(at) = self.undo.get_mut().iter().position(is_stop) {
            registry::undo(&self.undo.get_mut()[at]).await;
            self.undo.get_mut().remove(at);
        }
    }

    pub(super) async fn end_run(&mut self) {
        self.stop_run().await;
        if let (Some(run), Service::Program(program)) = (&mut self.run, &self.start.plan.service) {
            run.end(program.ending).await;
        }
        // Cleared last, so that a call dropped half-way can be repeated.
        self.run = None;
        let _ = fs::remove_file(self.preset_file());
        self.port.take_back();
    }
}
