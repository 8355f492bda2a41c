//! Cleanup however a session ends, and recovery from crashes of the backend and the keeper.

use std::{
    fs, io,
    os::{fd::AsRawFd, unix::process::CommandExt},
};

use rustix::{io::FdFlags, process::Signal};
use support::{Session, Stage, json, kill, kill_all, messages, turn};

#[test]
fn exit_code_is_passed_through() {
    let stage = Stage::new();
    let (session, claude, backend) = stage.running();
    claude.send(json!({"do": "exit", "code": 3}));
    session.wait().expect(3);
    assert!(backend.is_gone());
}

#[test]
fn signal_exit_becomes_128_plus_signal_number() {
    let stage = Stage::new();
    let (session, claude, _backend) = stage.running();
    claude.send(json!({"do": "signal", "number": 9}));
    session.wait().expect(137);
}

#[test]
fn term_and_hup_reach_claude_code() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let stage = Stage::new();
        let (session, claude, _backend) = stage.running();
        session.signal(signal);
        assert_eq!(claude.wait_event("signal")["number"], signal.as_raw());
        session.wait().expect(code);
    }
}

#[test]
fn external_interrupt_reaches_claude_code() {
    let stage = Stage::new();
    let (session, claude, _backend) = stage.running();
    session.signal(Signal::INT);
    claude.wait_event("signal");
    session.wait().expect(0);
}

#[test]
fn killed_launcher_ends_claude_code_and_backend() {
    let stage = Stage::new();
    let (session, claude, backend) = stage.running();
    session.signal(Signal::KILL);
    session.wait();
    claude.wait_gone();
    backend.wait_gone();
    stage.wait_for_nothing_left();
}

#[test]
fn killed_launcher_ends_claude_code_that_ignores_signals() {
    let stage = Stage::new();
    let (session, claude, backend) = stage.running();
    claude.send(json!({"do": "ignore_signals"}));
    claude.wait_event("done");
    session.signal(Signal::KILL);
    claude.wait_gone();
    backend.wait_gone();
    drop(session);
    stage.wait_for_nothing_left();
}

#[test]
fn killed_backend_restarts_on_its_port_and_the_turn_succeeds() {
    messages!();
    let stage = Stage::new();
    let (session, claude, backend) = stage.running();
    kill(backend.pid, Signal::KILL);
    turn(&claude);
    let restarted = stage.events.next("llama-server");
    assert_eq!(restarted.argv, backend.argv, "the command line, with its port, changed");
    claude.send(json!({"do": "exit", "code": 0}));
    let ended = session.wait().expect(0).record();
    assert!(ended.stderr.contains("restarted once"), "{}", ended.stderr);
}

#[test]
fn repeatedly_crashing_backend_ends_the_session_with_the_reason() {
    messages!();
    let stage = Stage::new();
    stage.config("[lifetime]\nrestarts = 1\n");
    let (session, claude, backend) = stage.running();
    kill(backend.pid, Signal::KILL);
    let second = stage.events.next("llama-server");
    // Wait until the keeper knows that the backend is ready, since a failed start is a different case.
    let (other, other_claude) = stage.joining();
    other_claude.send(json!({"do": "exit", "code": 0}));
    other.wait().expect(0);
    second.send(json!({"do": "exit", "code": 7}));
    claude.wait_gone();
    session.wait().expect_failure(69);
}

#[test]
fn keeper_restart_keeps_port_and_key() {
    let stage = Stage::new();
    let (session, claude, backend) = stage.running();
    kill(stage.keeper(), Signal::KILL);
    backend.wait_gone();
    let restarted = stage.events.next("llama-server");
    assert_eq!(restarted.argv, backend.argv, "the command line, with its port, changed");
    assert_eq!(restarted.env["LLAMA_API_KEY"], backend.env["LLAMA_API_KEY"]);
    turn(&claude);
    claude.send(json!({"do": "exit", "code": 0}));
    session.wait().expect(0);
    assert!(restarted.is_gone());
}

#[test]
fn next_session_cleans_up_after_launcher_keeper_and_guard() {
    let stage = Stage::new();
    let (session, claude, backend) = stage.running();
    kill_all(&stage, session, &claude);
    backend.wait_gone();
    // Only the overlay's directory is left, and the next session's keeper removes it.
    assert_eq!(stage.runtime_sessions().len(), 1);
    let (session, claude, _backend) = stage.running();
    stage.wait_for_sessions(1);
    claude.send(json!({"do": "exit", "code": 0}));
    session.wait().expect(0);
}

#[test]
fn stopped_keeper_does_not_delay_session_exit() {
    let stage = Stage::new();
    let (session, claude, backend) = stage.running();
    kill(stage.keeper(), Signal::STOP);
    claude.send(json!({"do": "exit", "code": 0}));
    session.wait().expect(0);
    assert!(backend.is_gone());
}

#[test]
fn stopped_keeper_does_not_delay_a_new_session() {
    let stage = Stage::new();
    let (first, claude, _backend) = stage.running();
    kill(stage.keeper(), Signal::STOP);
    let second = stage.session(&["-p", "second"]);
    let second_claude = stage.events.next("claude");
    for claude in [claude, second_claude] {
        claude.send(json!({"do": "exit", "code": 0}));
    }
    first.wait().expect(0);
    second.wait().expect(0);
}

#[test]
fn backend_process_group_is_terminated() {
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_SPAWN_HELPER", 1).set("FAKE_LLAMA_IGNORE_TERM", 1);
    let (session, claude, backend) = stage.running();
    let helper = stage.events.next("helper");
    assert_eq!(helper.pgid, backend.pgid);
    claude.send(json!({"do": "exit", "code": 0}));
    session.wait().expect(0);
    assert!(backend.is_gone() && helper.is_gone());
}

#[test]
fn surviving_claude_code_child_does_not_delay_exit() {
    let stage = Stage::new();
    let mut command = stage.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"]);
    let (reader, writer) = io::pipe().expect("a pipe");
    // Don't read it to its end: the surviving child keeps it open, as it would without lclaude.
    let mut session = command.stdout(writer).spawn().expect("lclaude runs");
    let claude = stage.events.next("claude");
    claude.send(json!({"do": "spawn_sleeper"}));
    let sleeper = stage.events.next("sleeper");
    let backend = stage.events.next("llama-server");
    claude.send(json!({"do": "exit", "code": 0}));
    assert!(session.wait().expect("waited for").success());
    assert!(backend.is_gone() && !sleeper.is_gone());
    kill(sleeper.pid, Signal::KILL);
    sleeper.wait_gone();
    stage.wait_for_nothing_left();
    drop(reader);
}

#[test]
fn pipeline_ends_with_claude_code_while_backend_lingers() {
    let stage = Stage::new();
    stage.config("[lifetime]\nlinger = \"1h\"\n");
    let (session, claude, backend) = stage.running();
    claude.send(json!({"do": "print", "text": "the answer\n"}));
    claude.wait_event("done");
    claude.send(json!({"do": "exit", "code": 0}));
    // Reads stdout and stderr to their ends while keeper and backend linger.
    assert_eq!(session.wait().expect(0).stdout, "the answer\n");
    assert!(!backend.is_gone());
    kill(stage.keeper(), Signal::TERM);
    backend.wait_gone();
    stage.wait_for_nothing_left();
}

/// If the keeper or the backend kept a pipe open, its reader would wait as long as the backend lingers.
#[cfg_attr(not(target_os = "linux"), ignore = "it reads /proc, since no program names the ends of a pipe alike")]
#[test]
fn only_claude_code_inherits_open_descriptors() {
    let stage = Stage::new();
    let (ours, inherited) = io::pipe().expect("a pipe");
    let name = fs::read_link(format!("/proc/self/fd/{}", ours.as_raw_fd())).expect("it is open");
    let mut command = stage.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "hello"]);
    // SAFETY: the closure makes one system call, and the descriptor is open until the command is dropped.
    unsafe { command.pre_exec(move || Ok(rustix::io::fcntl_setfd(&inherited, FdFlags::empty())?)) };
    let (session, claude, backend) = stage.started(&mut command);
    let has_pipe = |pid: i32| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").flatten();
        descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok()).any(|link| link == name)
    };
    assert!(has_pipe(claude.pid), "Claude Code doesn't inherit it");
    assert!(!has_pipe(stage.keeper()) && !has_pipe(backend.pid));
    claude.send(json!({"do": "exit", "code": 0}));
    session.wait().expect(0);
}

#[cfg_attr(not(target_os = "linux"), ignore = "macOS has no /dev/full")]
#[test]
fn full_disk_loses_only_the_log() {
    let stage = Stage::new();
    let state = stage.home().join(".local/state/lclaude");
    fs::create_dir_all(&state).expect("a directory");
    // Every write fails as on a full disk.
    std::os::unix::fs::symlink("/dev/full", state.join("logs")).expect("a link");
    let (session, claude, _backend) = stage.running();
    claude.send(json!({"do": "exit", "code": 0}));
    session.wait().expect(0);
}

#[test]
fn keeper_and_backend_run_outside_the_terminal_process_group() {
    let stage = Stage::new();
    let (session, claude, backend) = stage.running();
    assert_eq!(claude.pgid, session.pid());
    assert_eq!(backend.ppid, stage.keeper());
    assert_eq!(backend.pgid, backend.pid);
    assert_eq!(backend.sid, stage.keeper());
    claude.send(json!({"do": "exit", "code": 0}));
    session.wait().expect(0);
}

#[test]
fn group_signal_ends_startup() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let mut stage = Stage::new();
        stage.set("FAKE_LLAMA_LOAD", "controlled");
        let session: Session = stage.session(&["-p", "hello"]);
        let backend = stage.events.next("llama-server");
        session.signal_group(signal);
        session.wait().expect(code);
        assert!(backend.is_gone());
    }
}
