//! Everything that a backend starts ends with it, also what has left its process group, and the guard sees to that if the
//! keeper is killed.

use std::fs;

use rustix::process::Signal;
use support::{
    Fake, Session, Stage, finish, has_ended, json, kill, kill_both, process_state, system::open_files, turn, until,
};

/// A session whose backend has a daemon with the backend's listening socket.
fn with_daemon(stage: &mut Stage) -> (Session, Fake, Fake, Fake) {
    stage.set("FAKE_LLAMA_SPAWN_HELPER", "detached");
    let (session, claude, backend) = stage.running();
    let daemon = stage.events.next("helper");
    assert_ne!((daemon.pgid, daemon.sid), (backend.pgid, backend.sid));
    (session, claude, backend, daemon)
}

#[test]
fn daemon_of_a_backend_ends_with_the_session() {
    let mut stage = Stage::new();
    let (session, claude, backend, daemon) = with_daemon(&mut stage);
    finish(session, &claude);
    assert!(backend.is_gone() && daemon.is_gone());
}

#[test]
fn daemon_of_a_backend_ends_with_a_canceled_start() {
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_SPAWN_HELPER", "detached").set("FAKE_LLAMA_LOAD", "controlled");
    let session = stage.session(&["-p", "hello"]);
    let daemon = stage.events.next("helper");
    session.signal_group(Signal::INT);
    session.wait().expect(130);
    assert!(daemon.is_gone());
}

#[cfg_attr(not(target_os = "linux"), ignore = "its parent is launchd, so nobody knows who started it")]
#[test]
fn daemon_of_a_backend_ends_with_a_failed_start() {
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_SPAWN_HELPER", "detached").set("FAKE_LLAMA_FAIL", "crash");
    let session = stage.session(&["-p", "hello"]);
    let daemon = stage.events.next("helper");
    session.wait().expect(69);
    assert!(daemon.is_gone());
}

#[cfg_attr(not(target_os = "linux"), ignore = "its parent is launchd, so nobody knows who started it")]
#[test]
fn crashed_backend_restarts_without_its_daemon() {
    let mut stage = Stage::new();
    let (session, claude, backend, daemon) = with_daemon(&mut stage);
    kill(backend.pid, Signal::KILL);
    let restarted = stage.events.next("llama-server");
    assert!(daemon.is_gone(), "it still listens on the port");
    assert_eq!(restarted.argv, backend.argv);
    stage.events.next("helper");
    turn(&claude);
    finish(session, &claude);
}

#[cfg_attr(not(target_os = "linux"), ignore = "the guard of a killed keeper knows only the group")]
#[test]
fn new_keeper_starts_after_the_daemon_of_the_killed_one_has_ended() {
    let mut stage = Stage::new();
    let (session, claude, backend, daemon) = with_daemon(&mut stage);
    let guard = stage.guard();
    kill(stage.keeper(), Signal::KILL);
    let restarted = stage.events.next("llama-server");
    assert!(daemon.is_gone(), "it still listens on the port");
    assert_eq!(restarted.argv, backend.argv);
    stage.events.next("helper");
    turn(&claude);
    finish(session, &claude);
    assert!(has_ended(guard));
}

#[cfg_attr(not(target_os = "linux"), ignore = "the guard of a killed keeper knows only the group")]
#[test]
fn suspended_guard_does_not_keep_the_backend_down() {
    let mut stage = Stage::new();
    let (session, claude, _backend, daemon) = with_daemon(&mut stage);
    kill(stage.guard(), Signal::STOP);
    kill(stage.keeper(), Signal::KILL);
    stage.events.next("llama-server");
    assert!(daemon.is_gone());
    stage.events.next("helper");
    turn(&claude);
    finish(session, &claude);
}

#[cfg_attr(not(target_os = "linux"), ignore = "the guard of a killed keeper knows only the group")]
#[test]
fn nothing_is_left_when_session_and_keeper_are_killed() {
    for keeper_first in [true, false] {
        let mut stage = Stage::new();
        let (session, claude, backend, daemon) = with_daemon(&mut stage);
        let keeper = stage.keeper();
        // Neither notices the other's death.
        kill(session.pid(), Signal::STOP);
        kill(keeper, Signal::STOP);
        if keeper_first {
            kill(keeper, Signal::KILL);
        }
        session.signal(Signal::KILL);
        if !keeper_first {
            kill(keeper, Signal::KILL);
        }
        session.wait();
        for process in [&claude, &backend, &daemon] {
            process.wait_gone();
        }
        // Not even a private directory.
        stage.wait_for_nothing_left();
    }
}

/// While the backend is down, its session has stopped Claude Code, which then doesn't notice the session's death.
#[test]
fn stopped_claude_code_ends_when_session_and_keeper_are_killed() {
    let stage = Stage::new();
    let (session, claude, _backend) = stage.running();
    claude.send(json!({"do": "ignore_signals"}));
    claude.wait_event("done");
    let (other, other_claude) = stage.joining();
    kill(claude.pid, Signal::STOP);
    kill_both(&stage, session, &claude);
    // The other session goes on with another keeper.
    stage.events.next("llama-server");
    turn(&other_claude);
    finish(other, &other_claude);
}

#[test]
fn killed_guard_changes_nothing() {
    let mut stage = Stage::new();
    let (session, claude, backend, daemon) = with_daemon(&mut stage);
    kill(stage.guard(), Signal::KILL);
    until("the guard has ended", || has_ended(stage.guard()));
    turn(&claude);
    let (other, other_claude) = stage.joining();
    finish(other, &other_claude);
    assert!(!backend.is_gone() && !daemon.is_gone());
    finish(session, &claude);
    assert!(backend.is_gone() && daemon.is_gone());
}

#[test]
fn guard_ends_with_its_keeper_whichever_session_is_last() {
    let stage = Stage::new();
    let (first, claude, _backend) = stage.running();
    let (second, second_claude) = stage.joining();
    let guard = stage.guard();
    finish(first, &claude);
    assert!(!has_ended(guard));
    finish(second, &second_claude);
    assert!(has_ended(guard));
}

#[test]
fn guard_holds_no_connection_and_ignores_requests_to_end() {
    let stage = Stage::new();
    let (session, claude, _backend) = stage.running();
    assert_eq!(
        open_files(stage.guard()).len(),
        6,
        "the standard three, the keeper, the connection to it, and the lock"
    );
    kill(stage.guard(), Signal::TERM);
    turn(&claude);
    assert!(!has_ended(stage.guard()));
    finish(session, &claude);
}

#[cfg_attr(not(target_os = "linux"), ignore = "launchd adopts it")]
#[test]
fn adopted_process_is_reaped_when_it_ends() {
    let mut stage = Stage::new();
    let (session, claude, _backend, daemon) = with_daemon(&mut stage);
    kill(daemon.pid, Signal::KILL);
    until("it is no zombie", || process_state(daemon.pid).is_none());
    turn(&claude);
    finish(session, &claude);
}

#[cfg_attr(not(target_os = "linux"), ignore = "its parent is launchd, so nobody knows who started it")]
#[test]
fn status_counts_the_memory_of_daemons() {
    let mut stage = Stage::new();
    let (session, claude, backend, daemon) = with_daemon(&mut stage);
    let status = stage.output(&["local", "status", "--json"]).expect(0).stdout;
    let status: support::Value = serde_json::from_str(&status).expect("JSON");
    let resident = |pid: i32| {
        let pages = fs::read_to_string(format!("/proc/{pid}/statm")).expect("it runs");
        pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number") * 4096
    };
    let counted = status["backends"][0]["memory"]["resident_bytes"].as_u64().expect("a number");
    // Both grow while they run.
    assert!(counted > resident(backend.pid) + resident(daemon.pid) / 2, "{counted}");
    claude.send(json!({"do": "exit", "code": 0}));
    session.wait().expect(0);
}
