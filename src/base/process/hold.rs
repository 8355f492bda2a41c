//! Stops a process and all its descendants for a while.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::time::sleep;

use super::{
    identity::Identity,
    system::{process, processes},
    tree::{Process, tree},
};

/// How long a signaled process may take to stop. One that is stuck in a system call stops when the call returns, before
/// it runs again.
const STOP_TIMEOUT: Duration = Duration::from_millis(200);

/// Stopped processes. Dropping this value continues them.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    /// Each after its parent.
    stopped: Vec<Identity>,
}

impl Hold {
    /// Stops `root` and its descendants, as far as they run, and returns when they have stopped. Processes that already
    /// are stopped, such as a suspended job of a shell, aren't continued later.
    ///
    /// A parent stops before its children, so that a shell doesn't notice that its job stops. May be called again, for
    /// processes that were continued or started since.
    pub(crate) async fn stop(&mut self, root: Identity) {
        let deadline = Instant::now() + STOP_TIMEOUT;
        loop {
            let all = processes();
            let is_root = all.iter().any(|process| process.identity() == root);
            let mut running = tree(root.pid, &all);
            running.retain(|process| is_root && !process.is_stopped);
            // Nothing runs that could start another process.
            if running.is_empty() || Instant::now() >= deadline {
                return;
            }
            for process in running.iter().map(Process::identity) {
                process.signal(Signal::STOP);
                if !self.stopped.contains(&process) {
                    self.stopped.push(process);
                }
            }
            // No system reports that a process that isn't its child has stopped.
            sleep(Duration::from_micros(200)).await;
        }
    }

    /// Returns the stopped processes.
    pub(crate) fn processes(&self) -> &[Identity] {
        &self.stopped
    }

    /// Returns whether it has stopped anything.
    pub(crate) fn is_active(&self) -> bool {
        !self.stopped.is_empty()
    }

    /// Continues the stopped processes.
    pub(crate) fn release(&mut self) {
        resume(&std::mem::take(&mut self.stopped));
    }

    /// Kills the stopped processes, which then never run again.
    pub(crate) fn kill(&mut self) {
        for process in std::mem::take(&mut self.stopped) {
            process.signal(Signal::KILL);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}

/// Returns whether a process is stopped, or no longer runs.
pub(crate) fn is_suspended(pid: u32) -> bool {
    process(pid.cast_signed()).is_none_or(|process| process.is_stopped)
}

/// Returns `root` and its descendants as far as they are stopped.
pub(crate) fn suspended_tree(root: Identity) -> Vec<Identity> {
    let all = tree(root.pid, &processes());
    all.iter().filter(|process| process.is_stopped).map(Process::identity).collect()
}

/// Continues processes that a [`Hold`] stopped, children first.
pub(crate) fn resume(stopped: &[Identity]) {
    for process in stopped.iter().rev() {
        process.signal(Signal::CONT);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        process::{Child, Command, Stdio},
    };

    use super::*;

    /// A shell with a child, which prints its PID.
    struct Shell(Child, Identity);

    impl Shell {
        fn start(script: &str) -> (Self, Identity) {
            let mut shell = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().expect("sh runs");
            let mut line = String::new();
            BufReader::new(shell.stdout.take().expect("a pipe")).read_line(&mut line).expect("a PID");
            let of = |pid| Identity::of(pid).expect("it runs");
            let (parent, child) = (of(shell.id()), of(line.trim().parse().expect("a PID")));
            (Shell(shell, parent), child)
        }
    }

    impl Drop for Shell {
        fn drop(&mut self) {
            let all = processes();
            for process in tree(self.1.pid, &all) {
                process.identity().signal(Signal::KILL);
            }
            let _ = self.0.wait();
        }
    }

    fn is_stopped(wanted: Identity) -> bool {
        processes().iter().any(|process| process.identity() == wanted && process.is_stopped)
    }

    /// SIGCONT takes effect before kill(2) returns, but another processor may show the old state for a moment.
    fn wait_until_running(wanted: Identity) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_stopped(wanted) {
            assert!(Instant::now() < deadline, "{wanted:?} stays stopped");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[tokio::test]
    async fn descendants_stop_and_continue_with_their_root() {
        let (shell, child) = Shell::start("sleep 60 & echo $!; wait");
        let mut hold = Hold::default();
        hold.stop(shell.1).await;
        assert!(is_stopped(shell.1) && is_stopped(child));
        assert_eq!(hold.processes(), [shell.1, child]);
        // As `fg` does.
        child.signal(Signal::CONT);
        hold.stop(shell.1).await;
        assert!(is_stopped(child));
        drop(hold);
        wait_until_running(shell.1);
        wait_until_running(child);
    }

    #[tokio::test]
    async fn suspended_process_stays_suspended() {
        let (shell, child) = Shell::start("sleep 60 & echo $!; wait");
        child.signal(Signal::STOP);
        while !is_stopped(child) {
            sleep(Duration::from_millis(1)).await;
        }
        let mut hold = Hold::default();
        hold.stop(shell.1).await;
        assert_eq!(hold.processes(), [shell.1]);
        hold.release();
        wait_until_running(shell.1);
        assert!(is_stopped(child));
    }

    #[tokio::test]
    async fn killed_hold_leaves_nothing() {
        let (mut shell, child) = Shell::start("sleep 60 & echo $!; wait");
        let mut hold = Hold::default();
        hold.stop(shell.1).await;
        hold.kill();
        shell.0.wait().expect("it can be waited for");
        assert!(!shell.1.is_alive() && !is_stopped(child));
    }
}
