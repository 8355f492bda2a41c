//! The home of a throwaway session is removed, however the session ends.

use std::{fs, io::Write, os::unix::fs::PermissionsExt, path::PathBuf};

use rustix::process::Signal;
use support::{
    Fake, Session, Stage, finish, json, kill, kill_all, kill_both,
    machine::bound_by_permissions,
    throwaway::{LOCAL, command, endpoint, home_of, lived_in, running, write},
};

/// Ends a session and returns its expected exit code, or `None` if it was killed.
type End = fn(&Stage, &Session, &Fake) -> Option<i32>;

#[test]
fn home_is_removed_however_the_session_ends() {
    let ends: &[(&str, End)] = &[
        ("exit", |_, _, claude| {
            claude.send(json!({"do": "exit", "code": 3}));
            Some(3)
        }),
        ("claude killed", |_, _, claude| {
            kill(claude.pid, Signal::KILL);
            Some(137)
        }),
        ("INT", |_, session, _| {
            session.signal(Signal::INT);
            Some(0)
        }),
        ("TERM", |_, session, _| {
            session.signal(Signal::TERM);
            Some(143)
        }),
        ("HUP to all", |_, session, _| {
            session.signal_group(Signal::HUP);
            Some(129)
        }),
        ("lclaude killed", |_, session, _| {
            session.signal(Signal::KILL);
            Some(137)
        }),
        ("lclaude killed, and Claude Code ignores signals", |_, session, claude| {
            claude.send(json!({"do": "ignore_signals"}));
            claude.wait_event("done");
            session.signal(Signal::KILL);
            Some(137)
        }),
        ("keeper killed", |stage, _, claude| {
            kill(stage.keeper(), Signal::KILL);
            stage.events.next("llama-server");
            claude.send(json!({"do": "exit", "code": 0}));
            Some(0)
        }),
        ("backend lost", |stage, _, _| {
            kill(stage.backend(), Signal::KILL);
            Some(69)
        }),
    ];
    for (name, end) in ends {
        let stage = Stage::new();
        stage.config("[lifetime]\nrestarts = 0\n");
        lived_in(&stage);
        let before = stage.home_snapshot();
        let (session, claude, _backend) = running(&stage);
        let home = home_of(&claude);
        write(home.join("projects/p/1.jsonl"), "a conversation");
        let code = end(&stage, &session, &claude);
        let ended = session.wait();
        assert_eq!(ended.code, code, "{name}: {ended:#?}");
        if ended.signal == Some(Signal::KILL.as_raw()) {
            claude.wait_gone();
            stage.wait_for_sessions(0);
            stage.wait_for_nothing_left();
        }
        assert!(!home.exists() && stage.runtime_sessions().is_empty(), "{name}: {:?}", stage.runtime_sessions());
        stage.assert_home_is(&before);
        // A failure message names the log, so the log is kept for a while.
        assert_eq!(stage.runtime_files("log").len(), usize::from(code == Some(69)), "{name}");
        let _ = fs::remove_dir_all(stage.runtime());
    }
}

#[test]
fn failed_start_leaves_nothing() {
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_FAIL", "oom");
    let before = stage.home_snapshot();
    let ended = stage.output(&[&LOCAL[..], &["--throwaway", "--keep", "-p", "x"]].concat());
    assert_ne!(ended.code, Some(0));
    stage.assert_home_is(&before);
    assert!(!ended.stderr.contains("kept") && stage.runtime_sessions().is_empty(), "{ended:#?}");
    let _ = fs::remove_dir_all(stage.runtime());
}

#[test]
fn next_session_removes_leftovers_after_all_were_killed() {
    let stage = Stage::new();
    let (session, claude, backend) = running(&stage);
    let home = home_of(&claude);
    kill_all(&stage, session, &claude);
    backend.wait_gone();
    assert!(home.exists(), "the home was removed although everything was killed");
    let (session, claude, _backend) = stage.running();
    stage.wait_for_sessions(1);
    assert!(!home.exists());
    finish(session, &claude);
    assert!(stage.runtime_files("log").is_empty(), "{:?}", stage.runtime_files("log"));
}

#[test]
fn guard_removes_the_home_after_both_were_killed() {
    let stage = Stage::new();
    let (session, claude, backend) = running(&stage);
    let home = home_of(&claude);
    kill_both(&stage, session, &claude);
    backend.wait_gone();
    stage.wait_for_nothing_left();
    assert!(!home.exists());
}

/// An endpoint has no keeper that could clean up.
#[test]
fn next_session_removes_leftovers_of_an_endpoint_session() {
    let stage = Stage::with(&["fake-claude"]);
    stage.config(&format!("backend = \"endpoint\"\nmodel = \"m\"\n[endpoint]\nurl = \"{}\"\n", endpoint(None)));
    let start = || {
        let session = Session::start(&mut stage.lclaude(&["--throwaway", "-p", "x"]));
        (session, stage.events.next("claude"))
    };
    let (session, claude) = start();
    let home = home_of(&claude);
    session.signal(Signal::KILL);
    session.wait();
    claude.wait_gone();
    assert!(home.exists());
    let (session, claude) = start();
    assert!(!home.exists());
    finish(session, &claude);
    stage.assert_nothing_left();
}

#[test]
fn removal_includes_read_only_directories_but_not_link_targets() {
    for killed in [false, true] {
        let stage = Stage::new();
        write(stage.root().join("mine/precious"), "mine");
        let (session, claude, _backend) =
            stage.started(&mut bound_by_permissions(&stage, &command(&stage, &["--throwaway"])));
        let (home, tmp) = (home_of(&claude), PathBuf::from(&claude.env["CLAUDE_CODE_TMPDIR"]));
        for deep in [home.join("a/b"), tmp.join("go/pkg")] {
            write(deep.join("file"), "x");
            std::os::unix::fs::symlink(stage.root().join("mine"), deep.join("link")).expect("a link");
            for directory in [&deep, deep.parent().expect("one")] {
                fs::set_permissions(directory, fs::Permissions::from_mode(0o555)).expect("ours");
            }
        }
        if killed {
            session.signal(Signal::KILL);
            session.wait();
            stage.wait_for_nothing_left();
        } else {
            finish(session, &claude);
        }
        assert!(stage.runtime_sessions().is_empty(), "{:?}", stage.runtime_sessions());
        assert_eq!(fs::read_to_string(stage.root().join("mine/precious")).expect("still there"), "mine");
    }
}

#[test]
fn surviving_child_cannot_recreate_the_home() {
    let stage = Stage::new();
    let (session, claude, _backend) = running(&stage);
    claude.send(json!({"do": "spawn_sleeper"}));
    let sleeper = stage.events.next("sleeper");
    let inside = home_of(&claude).join("shell-snapshots");
    // A file that is open while the home is removed, like the output of a background command.
    write(inside.join("output"), "");
    let mut output = fs::File::options().append(true).open(inside.join("output")).expect("a file");
    let pid = session.pid();
    claude.send(json!({"do": "exit", "code": 0}));
    claude.wait_gone();
    while !support::has_ended(pid) {
        output.write_all(b"more\n").expect("the file is open");
        let _ = fs::write(inside.join("another"), "x");
    }
    assert!(stage.runtime_sessions().is_empty(), "{:?}", stage.runtime_sessions());
    kill(sleeper.pid, Signal::KILL);
    sleeper.wait_gone();
    session.wait().expect(0);
    stage.wait_for_nothing_left();
}
