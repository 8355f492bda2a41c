//! A panic of the keeper, which a test asks for in the debug build: sessions end with its text, and nobody starts another
//! keeper.

use std::fs;

use support::{Session, Stage, messages};

/// A stage whose keepers panic at this point and log that they do.
fn stage(point: &str) -> Stage {
    let mut stage = Stage::new();
    stage.set("PANIC_LCLAUDE_AT", point).set("LCLAUDE_LOG", "info");
    stage
}

/// Returns how many keepers started and how many panicked.
fn keepers(stage: &Stage) -> (usize, usize) {
    let log = fs::read_to_string(stage.home().join(".local/state/lclaude/lclaude.log")).expect("lclaude's log");
    (log.matches("keeper started").count(), log.matches("keeper panicked").count())
}

/// Waits for a session, which must name the panic once.
fn wait(session: Session) {
    let ended = session.wait().expect(70);
    assert_eq!(ended.stderr.matches("a test asks for a panic").count(), 1, "{ended:#?}");
    assert!(ended.stderr.contains("internal error in the backend's keeper"), "{ended:#?}");
}

#[cfg_attr(not(debug_assertions), ignore = "only the debug build can be asked to panic")]
#[test]
fn panic_at_the_start_ends_the_session_and_no_other_keeper_starts() {
    let stage = stage("keeper-started");
    wait(stage.session(&["-p", "x"]));
    assert_eq!(keepers(&stage), (1, 1));
    stage.assert_nothing_left();
}

#[cfg_attr(not(debug_assertions), ignore = "only the debug build can be asked to panic")]
#[test]
fn panic_ends_every_session_with_its_text() {
    messages!();
    let stage = stage("status");
    let (first, claude, backend) = stage.running();
    let (second, other_claude) = stage.joining();
    stage.output(&["local", "status"]).expect(0);
    let ended = first.wait();
    let line = ended.stderr.lines().find(|line| line.contains("serve.rs:")).expect("its place").to_owned();
    let place = line.split_once("serve.rs:").and_then(|(_, rest)| rest.split(' ').next()).expect("a place");
    messages::mask(place, "PLACE");
    ended.expect_failure(70);
    wait(second);
    claude.wait_gone();
    other_claude.wait_gone();
    backend.wait_gone();
    assert_eq!(keepers(&stage), (1, 1));
    let log = fs::read_to_string(stage.logs().pop().expect("the backend's log")).expect("text");
    assert!(log.contains("a test asks for a panic"), "{log}");
    stage.wait_for_nothing_left();
}
