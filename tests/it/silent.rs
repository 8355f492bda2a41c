//! A keeper that doesn't answer: the machine may be swapping, or its disk may be slow. No newcomer ends what others use.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use support::{Stage, finish, json, kill, messages, turn};

/// How long a wait may be before the user is told, with some room for a busy machine.
const SILENCE: Duration = Duration::from_secs(4);

/// A process that doesn't run at all, not even after SIGCONT, until this value is dropped.
struct Frozen(i32);

impl Frozen {
    fn new(pid: i32) -> Self {
        let none = std::ptr::null_mut::<libc::c_void>();
        let mut status = 0;
        // SAFETY: the requests take no memory of ours.
        let seized = unsafe {
            [libc::ptrace(libc::PTRACE_SEIZE, pid, none, none), libc::ptrace(libc::PTRACE_INTERRUPT, pid, none, none)]
        };
        assert_eq!(seized, [0, 0], "{}", std::io::Error::last_os_error());
        // SAFETY: the status is written to a place of ours.
        let stopped = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
        assert_eq!(stopped, pid, "{}", std::io::Error::last_os_error());
        Frozen(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: the request takes no memory of ours. It fails if the process was killed.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, none, none) };
    }
}

#[test]
fn keeper_in_use_is_waited_for_and_never_killed() {
    messages!();
    let stage = Stage::new();
    let (session, claude, backend) = stage.running();
    let keeper = stage.keeper();
    messages::mask(keeper, "KEEPER");
    messages::mask(&stage.record()["about"]["id"].as_str().expect("an ID")[..8], "ID");
    let frozen = Frozen::new(keeper);
    let start = Instant::now();
    let mut newcomer = stage.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "second"]);
    let mut newcomer = newcomer.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut said = BufReader::new(newcomer.stderr.take().expect("a pipe")).lines().map(|line| line.expect("text"));
    messages::record("a newcomer", said.next().expect("a word"));
    assert!(start.elapsed() < SILENCE, "{:?}", start.elapsed());
    let rest: Vec<String> = said.collect();
    messages::record("after 20 seconds", rest.join("\n"));
    assert_eq!(newcomer.wait().expect("it runs").code(), Some(69));
    assert!(!backend.is_gone() && !claude.is_gone());
    drop(frozen);
    turn(&claude);
    assert_eq!(stage.keeper(), keeper);
    finish(session, &claude);
}

#[test]
fn wait_for_a_silent_keeper_can_be_interrupted() {
    let stage = Stage::new();
    let (session, claude, _backend) = stage.running();
    let frozen = Frozen::new(stage.keeper());
    let mut newcomer = stage.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "second"]);
    let mut newcomer = newcomer.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut said = BufReader::new(newcomer.stderr.take().expect("a pipe")).lines();
    said.next().expect("a word").expect("text");
    let start = Instant::now();
    kill(newcomer.id().cast_signed(), Signal::INT);
    assert_eq!(newcomer.wait().expect("it runs").signal(), Some(2));
    assert!(start.elapsed() < SILENCE, "{:?}", start.elapsed());
    drop(frozen);
    turn(&claude);
    finish(session, &claude);
}

#[test]
fn silent_keeper_that_nobody_uses_is_replaced() {
    let stage = Stage::new();
    stage.config("[lifetime]\nlinger = \"1h\"\n");
    let (session, claude, backend) = stage.running();
    finish(session, &claude);
    let keeper = stage.keeper();
    let frozen = Frozen::new(keeper);
    let (session, claude, _replacement) = stage.running();
    assert!(backend.is_gone());
    assert_ne!(stage.keeper(), keeper);
    drop(frozen);
    turn(&claude);
    claude.send(json!({"do": "exit", "code": 0}));
    session.wait().expect(0);
    stage.output(&["local", "stop"]).expect(0);
}

#[test]
fn silent_keeper_does_not_hold_up_the_end_of_its_last_session() {
    let stage = Stage::new();
    let (session, claude, backend) = stage.running();
    let frozen = Frozen::new(stage.keeper());
    claude.send(json!({"do": "exit", "code": 0}));
    let said = session.wait().expect(0).stderr;
    assert!(said.contains("waiting for the backend to end"), "{said:?}");
    assert!(backend.is_gone());
    drop(frozen);
    stage.wait_for_nothing_left();
}
