//! Runs an install command.

use std::process::ExitStatus;

use tokio::process::Command;

use crate::{
    base::{
        error::{Code, Failure, Result},
        process::Identity,
        signals::Signals,
    },
    session::watch,
};

/// How an install command ended.
pub(crate) enum Installed {
    /// `None` if its status is unknown.
    Exited(Option<ExitStatus>),
    Interrupted,
}

/// Runs an install command in a shell, with the terminal. Signals are passed on to it.
///
/// # Errors
/// `Unavailable` if the shell can't be started.
pub(crate) async fn run(command: &str, signals: &mut Signals) -> Result<Installed> {
    let mut shell = shell(command)
        .spawn()
        .map_err(|error| Failure::new(Code::Unavailable, format!("`{command}` could not be started")).cause(error))?;
    let identity = shell.id().and_then(Identity::of);
    let mut is_interrupted = false;
    let status = loop {
        tokio::select! {
            status = shell.wait() => break status.ok(),
            received = signals.next() => {
                is_interrupted = true;
                watch::forward(received, identity);
            }
        }
    };
    Ok(if is_interrupted { Installed::Interrupted } else { Installed::Exited(status) })
}

/// Returns the shell that runs a command. In `curl … | sh`, a shell without `pipefail` ignores that curl failed, and
/// then succeeds because an empty script does. Without bash, the programs are only looked for afterwards.
fn shell(command: &str) -> Command {
    let bash = which::which("bash").ok();
    let mut shell = Command::new(bash.as_deref().unwrap_or("sh".as_ref()));
    if bash.is_some() {
        shell.args(["-o", "pipefail"]);
    }
    shell.args(["-c", command]);
    shell
}
