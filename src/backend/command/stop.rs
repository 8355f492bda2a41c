//! Ends a server by `[command] stop`: one that a signal to the program doesn't end, such as a container.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use tokio::{io::AsyncReadExt, net::unix::pipe, process::Command, time::timeout};

use crate::{
    backend::{
        diagnosis::describe_status,
        plan::{Endpoint, StopCommand},
    },
    base::{
        error::Code,
        process::{Group, Identity, die_with_parent, open_output},
        spawn::not_started,
    },
};

/// Bytes of its output that are kept.
const MAX_OUTPUT: usize = 64 * 1024;
/// How long the killed command may take to end: it may be stuck in a system call.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the command for the server at `endpoint`. Its output, and why it failed if it did, are added to `log`.
pub(crate) async fn run(command: &StopCommand, endpoint: &Endpoint, log: &Path) {
    let mut output = Vec::new();
    let problem = match run_to_end(command, endpoint, &mut output).await {
        Ok(Some(status)) if status.success() => None,
        Ok(Some(status)) => Some(describe_status(Some(status))),
        Ok(None) => Some(format!("was killed after {}", humantime::format_duration(command.timeout))),
        Err(error) => not_started(Code::Unavailable, &command.program.path, &error).why,
    };
    let mut text = endpoint.masked(&String::from_utf8_lossy(&output));
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    if let Some(problem) = problem {
        tracing::warn!(problem, "[command] stop failed");
        text.push_str(&format!("lclaude: [command] stop failed: {}: {problem}\n", command.program.path.display()));
    }
    // A full disk, or a log that is gone, must not keep the rest from being cleaned up.
    let _ = OpenOptions::new().append(true).open(log).and_then(|mut log| log.write_all(text.as_bytes()));
}

/// Runs the command and collects its output. Returns `None` if it was killed because it took too long.
async fn run_to_end(
    command: &StopCommand,
    endpoint: &Endpoint,
    output: &mut Vec<u8>,
) -> io::Result<Option<ExitStatus>> {
    let (read, write) = open_output(false)?;
    rustix::io::ioctl_fionbio(&read, true)?;
    let mut pipe = pipe::Receiver::from_owned_fd(read)?;
    let mut started = command.program.command(endpoint, Path::new(""));
    started.stdin(Stdio::null()).stdout(write.try_clone()?).stderr(write);
    // Whoever cleans up after this process runs the command again.
    die_with_parent(&mut started, Signal::KILL);
    let mut started = Command::from(started);
    // In our own process group, so that it isn't taken for something that the server started.
    let mut child = started.kill_on_drop(true).spawn()?;
    // It holds the writing end.
    drop(started);
    let group = child.id().and_then(Identity::of).map(Group::led_by);
    let mut chunk = [0; 4096];
    let mut is_open = true;
    let ended = timeout(command.timeout, async {
        loop {
            tokio::select! {
                status = child.wait() => return status,
                read = pipe.read(&mut chunk), if is_open => match read {
                    Ok(read @ 1..) => keep(output, &chunk[..read]),
                    _ => is_open = false,
                },
            }
        }
    })
    .await;
    // Not to its end: what the command started may hold the pipe open.
    while let Ok(read @ 1..) = pipe.try_read(&mut chunk) {
        keep(output, &chunk[..read]);
        if output.len() == MAX_OUTPUT {
            break;
        }
    }
    if let Ok(status) = ended {
        return status.map(Some);
    }
    let killed = async {
        // First, since what it started is known only as long as it runs.
        if let Some(group) = group {
            group.kill().await;
        }
        let _ = child.start_kill();
        child.wait().await
    };
    let _ = timeout(KILL_TIMEOUT, killed).await;
    Ok(None)
}

fn keep(output: &mut Vec<u8>, read: &[u8]) {
    let room = MAX_OUTPUT.saturating_sub(output.len());
    output.extend_from_slice(&read[..read.len().min(room)]);
}
