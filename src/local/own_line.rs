//! The user's own status line, which runs when Claude Code would run it: when something changes, or as often as its
//! `refreshInterval` says. Until then its last output is printed again.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::{Read, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, SystemTime},
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    base::{disk, process::die_with_parent},
    claude::StatusLineFile,
};

/// How long the command may take. Claude Code ends this process 3 seconds after it started.
const TIMEOUT: Duration = Duration::from_millis(2500);
/// The most bytes of its output.
const MAX_OUTPUT: u64 = 16 * 1024;

/// The last output of the command.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Last {
    /// Of what Claude Code said.
    hash: u64,
    /// Seconds since the epoch.
    at: f64,
    output: String,
}

/// Returns the output of the user's command, or `None` if they have no command. `input`: what Claude Code says. `file`: the
/// file that names the command, next to which the output is kept.
pub(super) fn output(line: &StatusLineFile, input: &[u8], file: &Path) -> Option<String> {
    let command = line.command.as_ref()?;
    let kept = file.with_extension("last");
    let last = fs::read(&kept).ok().and_then(|content| serde_json::from_slice::<Last>(&content).ok());
    let hash = hash(input);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64();
    if let Some(last) = &last
        && last.hash == hash
        && line.refresh_interval.is_none_or(|seconds| (0.0..seconds).contains(&(now - last.at)))
    {
        return Some(last.output.clone());
    }
    // One that takes too long isn't tried again before Claude Code says something else.
    let output = run(command, input).or_else(|| last.map(|last| last.output)).unwrap_or_default();
    let last = Last { hash, at: now, output };
    // Another run may write at the same time.
    let new = kept.with_extension(format!("new-{}", std::process::id()));
    let written = disk::private().write(true).create_new(true).open(&new).and_then(|mut file| {
        file.write_all(&serde_json::to_vec(&last).expect("plain data"))?;
        fs::rename(&new, &kept)
    });
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    Some(last.output)
}

/// Returns a hash of what Claude Code says, without the times that change with every run.
fn hash(input: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    match serde_json::from_slice::<Value>(input) {
        Ok(mut said) => {
            if let Some(cost) = said.get_mut("cost").and_then(Value::as_object_mut) {
                cost.retain(|key, _| !key.ends_with("_ms"));
            }
            said.to_string().hash(&mut hasher);
        }
        Err(_) => input.hash(&mut hasher),
    }
    hasher.finish()
}

/// Runs the command with a shell, as Claude Code does. Returns `None` if it doesn't end in time or can't be started.
fn run(command: &str, input: &[u8]) -> Option<String> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).process_group(0);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    // Claude Code may end this process before the command has ended.
    die_with_parent(&mut shell, Signal::KILL);
    let mut child = shell.spawn().ok()?;
    let (mut stdin, stdout) = (child.stdin.take()?, child.stdout.take()?);
    let input = input.to_vec();
    // It may never read.
    thread::spawn(move || drop(stdin.write_all(&input)));
    let (sender, output) = mpsc::channel();
    thread::spawn(move || {
        let mut output = Vec::new();
        let _ = stdout.take(MAX_OUTPUT).read_to_end(&mut output);
        sender.send(output)
    });
    let output = output.recv_timeout(TIMEOUT).ok();
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
    Some(String::from_utf8_lossy(&output?).trim_end().to_owned())
}
