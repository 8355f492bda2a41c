//! Runs a program that only prints something, with bounds on its time and its output.

use std::{
    io::{self, Read},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::Signal;

use super::{limits, process::Identity};

/// Bytes that are read of each pipe. The longest seen is llama-server's `--help`, with 70 kB.
pub(crate) const MAX_OUTPUT: u64 = 1024 * 1024;

/// Returns what a program prints and how it exits, or `None` if it takes longer than `limit`. It is killed then.
///
/// Its standard output is read, and its standard error if the command has a pipe for it.
///
/// # Errors
/// Those of a program or a thread that can't be started.
pub(crate) fn output(command: &mut Command, limit: Duration) -> io::Result<Option<Output>> {
    limits::restore_files(command);
    let (sender, receiver) = mpsc::channel();
    let (starter, started) = mpsc::channel();
    // The thread comes first: without it, nobody would reap the program. It is not joined: a process that the program left
    // behind may keep a pipe open.
    thread::Builder::new().spawn(move || {
        if let Ok(child) = started.recv() {
            // After the time limit nobody receives this.
            let _ = sender.send(finish(child));
        }
    })?;
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let identity = Identity::of(child.id());
    // The thread waits for it.
    let _ = starter.send(child);
    match receiver.recv_timeout(limit) {
        Ok(output) => output.map(Some),
        Err(_) => {
            // Don't wait for it: a process that a driver holds in a system call doesn't die at once.
            if let Some(identity) = identity {
                identity.signal(Signal::KILL);
            }
            Ok(None)
        }
    }
}

/// Reads the pipes of a program until it closes them, and reaps it.
fn finish(mut child: Child) -> io::Result<Output> {
    let stderr = child.stderr.take();
    let stderr = stderr.map(|pipe| thread::Builder::new().spawn(move || read(pipe))).transpose();
    if stderr.is_err() {
        child.kill()?;
    }
    let stdout = child.stdout.take().map(read).unwrap_or_default();
    // The pipes are closed, so a program that prints more ends too.
    let stderr = stderr.map(|reader| reader.map(|reader| reader.join().unwrap_or_default()).unwrap_or_default());
    let status = child.wait()?;
    Ok(Output { status, stdout, stderr: stderr? })
}

fn read(pipe: impl Read) -> Vec<u8> {
    let mut text = Vec::new();
    // What came before an error is kept.
    let _ = pipe.take(MAX_OUTPUT).read_to_end(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn shell(script: &str, limit: Duration) -> Option<Output> {
        let mut shell = Command::new("sh");
        output(shell.args(["-c", script]).stderr(Stdio::piped()), limit).expect("sh runs")
    }

    #[test]
    fn both_pipes_and_the_status_are_returned() {
        let output = shell("echo out; echo error >&2; exit 3", Duration::from_secs(60)).expect("it ends");
        assert_eq!((&*output.stdout, &*output.stderr, output.status.code()), (&b"out\n"[..], &b"error\n"[..], Some(3)));
    }

    #[test]
    fn missing_program_is_an_error() {
        let mut command = Command::new("lclaude-has-no-such-program");
        assert_eq!(output(&mut command, Duration::from_secs(60)).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn endless_output_is_cut() {
        let output = shell("exec yes", Duration::from_secs(60)).expect("it ends with its pipe");
        assert_eq!(output.stdout.len() as u64, MAX_OUTPUT);
    }

    #[test]
    fn hanging_program_times_out() {
        let started = Instant::now();
        for script in ["echo 1; exec sleep 1000", "echo 1; exec >&- 2>&-; exec sleep 1000"] {
            assert!(shell(script, Duration::from_secs(1)).is_none(), "{script}");
        }
        assert!(started.elapsed() < Duration::from_secs(60));
    }
}
