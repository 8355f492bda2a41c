//! A session's private directory is removed by the session, or after its death by a keeper, and by nobody else. Whoever
//! removes it keeps nobody waiting, however many files it has.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::Signal;
use support::{
    Fake, Session, Stage, finish, json, kill,
    machine::{needs_root, needs_strace},
    throwaway, turn, until,
};

/// Removals of a process, delayed by strace until this value is dropped.
struct Delay(Child);

impl Delay {
    fn removals_of(stage: &Stage, pid: i32) -> Self {
        let log = stage.root().join("strace");
        // Not `unlink`, with which single files are removed before.
        let calls = "unlinkat,rmdir";
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-e", &format!("trace={calls}"), "-e"]);
        strace.arg(format!("inject={calls}:delay_enter=60s")).args(["-p", &pid.to_string()]);
        let strace = strace.arg("-o").arg(&log).stderr(Stdio::null()).spawn().expect("strace runs");
        let delay = Delay(strace);
        // Every thread of the process.
        until("strace is attached", || {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a process").flatten();
            tasks.map(|task| fs::read_to_string(task.path().join("status")).unwrap_or_default()).all(|status| {
                let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
                tracer.is_some_and(|pid| pid.trim() == delay.0.id().to_string())
            })
        });
        delay
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        kill(self.0.id().cast_signed(), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Returns the session's private directory.
fn private_directory(claude: &Fake) -> PathBuf {
    Path::new(claude.settings_path.as_ref().expect("a file")).parent().expect("a directory").to_owned()
}

/// Waits until the directory is being removed, which begins with a new name.
fn wait_for_removal(directory: &Path) {
    until("the removal has begun", || directory.with_extension("gone").exists() && !directory.exists());
}

/// Returns the PIDs in the status of the only backend.
fn sessions(stage: &Stage) -> Vec<i64> {
    let ended = stage.ended(&mut stage.lclaude(&["local", "status", "--json"])).expect(0);
    let status: support::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(status["backends"][0]["state"], "ready", "{status:#}");
    let sessions = status["backends"][0]["sessions"].as_array().expect("a list");
    sessions.iter().filter_map(|session| session["pid"].as_i64()).collect()
}

#[test]
fn keeper_answers_while_it_removes_the_directory_of_a_dead_session() {
    if !needs_root() || !needs_strace() {
        return;
    }
    let stage = Stage::new();
    let (first, first_claude, _backend) = stage.running();
    let (second, second_claude) = stage.joining();
    let directory = private_directory(&second_claude);
    let delay = Delay::removals_of(&stage, stage.keeper());
    second.signal(Signal::KILL);
    second.wait();
    wait_for_removal(&directory);
    assert_eq!(sessions(&stage), [i64::from(first.pid())]);
    // A session comes and goes.
    let (third, third_claude) = stage.joining();
    turn(&third_claude);
    finish(third, &third_claude);
    assert!(directory.with_extension("gone").exists(), "the removal wasn't held up");
    drop(delay);
    stage.wait_for_sessions(1);
    finish(first, &first_claude);
}

#[test]
fn keeper_exits_after_it_has_removed_what_dead_sessions_left() {
    if !needs_root() || !needs_strace() {
        return;
    }
    let stage = Stage::new();
    let (session, claude, backend) = stage.running();
    let directory = private_directory(&claude);
    let delay = Delay::removals_of(&stage, stage.keeper());
    session.signal(Signal::KILL);
    session.wait();
    wait_for_removal(&directory);
    // The backend's end doesn't wait for the removal.
    backend.wait_gone();
    assert!(directory.with_extension("gone").exists(), "the removal wasn't held up");
    drop(delay);
    stage.wait_for_nothing_left();
}

#[test]
fn session_removes_its_directory_before_it_releases_its_lease() {
    if !needs_root() || !needs_strace() {
        return;
    }
    for is_killed in [false, true] {
        let stage = Stage::new();
        let (other, other_claude, _backend) = stage.running();
        let (session, claude) = stage.joining();
        let directory = private_directory(&claude);
        let delay = Delay::removals_of(&stage, session.pid());
        claude.send(json!({"do": "exit", "code": 0}));
        wait_for_removal(&directory);
        let mut expected = [i64::from(other.pid()), i64::from(session.pid())];
        let mut found = sessions(&stage);
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "it has released its lease");
        if is_killed {
            session.signal(Signal::KILL);
        }
        drop(delay);
        assert_eq!(session.wait().code, Some(if is_killed { 137 } else { 0 }));
        stage.wait_for_sessions(1);
        finish(other, &other_claude);
    }
}

/// A throwaway home may have a hundred thousand files.
#[test]
fn long_removal_has_a_word_and_can_be_left_to_a_keeper() {
    if !needs_root() || !needs_strace() {
        return;
    }
    let stage = Stage::new();
    let (other, other_claude, _backend) = stage.running();
    let mut session = stage.session(&["-p", "hello"]);
    let claude = stage.events.next("claude");
    let directory = private_directory(&claude);
    let delay = Delay::removals_of(&stage, session.pid());
    claude.send(json!({"do": "exit", "code": 0}));
    session.wait_for_message("removing this session's temporary files (Ctrl-C to stop waiting)");
    session.signal(Signal::INT);
    until("the lease is released", || sessions(&stage) == [i64::from(other.pid())]);
    assert!(directory.with_extension("gone").exists(), "the removal wasn't held up");
    drop(delay);
    session.wait().expect(0);
    // The keeper removes what is left before it exits.
    finish(other, &other_claude);
    stage.assert_nothing_left();
}

/// A container may share the runtime directory, but not the processes.
#[test]
fn session_in_another_pid_namespace_keeps_its_directory() {
    if !needs_root() {
        return;
    }
    let stage = Stage::new();
    fs::write(stage.project().join("other.gguf"), "GGUF").expect("a file");
    let (first, first_claude, _backend) = stage.running();
    let directory = private_directory(&first_claude);
    let dead = stage.runtime().join("session-999999-dead");
    fs::create_dir(&dead).expect("a directory");

    let plain = stage.lclaude(&["--backend", "llamacpp", "--model", "other.gguf", "-p", "x"]);
    let mut command = stage.command("unshare");
    command.args(["--pid", "--fork", "--mount-proc"]).arg(plain.get_program()).args(plain.get_args());
    let (second, second_claude, _backend) = stage.started(&mut command);
    let other_directory = private_directory(&second_claude);
    // Its keeper sweeps before it exits.
    finish(second, &second_claude);
    assert!(!dead.exists() && !other_directory.exists());
    assert!(directory.join("settings.json").exists(), "the directory of a live session was removed");

    turn(&first_claude);
    finish(first, &first_claude);
}

#[test]
fn status_shows_endpoint_sessions_until_they_die() {
    let stage = Stage::with(&["fake-claude"]);
    let url = throwaway::endpoint(None);
    stage.config(&format!("backend = \"endpoint\"\nmodel = \"m\"\n[endpoint]\nurl = \"{url}\"\n"));
    let session = Session::start(&mut stage.lclaude(&["-p", "x"]));
    let claude = stage.events.next("claude");
    assert_eq!(sessions(&stage), [i64::from(session.pid())]);
    session.signal(Signal::KILL);
    session.wait();
    claude.wait_gone();
    let directory = private_directory(&claude);
    assert!(directory.exists());
    let ended = stage.ended(&mut stage.lclaude(&["local", "status"])).expect(0);
    assert!(!ended.stdout.contains("endpoint"), "{ended:#?}");
    fs::remove_dir_all(directory).expect("nobody else removes it");
}
