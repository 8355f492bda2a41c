//! A server that breaks the rules gets a short error, in bounded time and memory, and learns nothing.

use std::{os::unix::process::CommandExt, thread};

use rustix::process::{Resource, Rlimit, setrlimit};
use support::{
    Ended, Stage,
    hostile::{self, MODES},
    write_program,
};

/// The most memory that lclaude may allocate, in bytes. An allocation beyond it ends the process.
const MEMORY: u64 = 64 << 20;
/// The most bytes of a message.
const SHORT: usize = 1500;

const TOKEN: &str = "sk-secret-of-mine";

/// Runs lclaude with a memory limit against a server that answers `path` in this mode.
fn run(mode: &'static str, path: &'static str, arguments: &[&str]) -> Ended {
    let mut stage = Stage::bare();
    stage.set("MY_TOKEN", TOKEN);
    // A session that starts shows that the server was accepted.
    write_program(&stage.bin().join("claude"), b"#!/bin/sh\necho started");
    let url = hostile::start(mode, path);
    stage.config(&format!(
        "backend = \"endpoint\"\nmodel = \"m\"\n[endpoint]\nurl = \"{url}\"\ntoken_env = \"MY_TOKEN\"\n"
    ));
    let mut command = stage.lclaude(arguments);
    let limit =
        || setrlimit(Resource::Data, Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) }).map_err(Into::into);
    // SAFETY: the function makes one system call.
    unsafe { command.pre_exec(limit) };
    let ended = stage.ended(&mut command);
    assert!(!ended.stderr.contains(TOKEN) && !ended.stdout.contains(TOKEN), "{mode}: {ended:#?}");
    assert!(!ended.stderr.contains('\u{1b}'), "{mode}: {ended:#?}");
    assert!(ended.stderr.len() < SHORT, "{mode}: {} bytes: {:.300}", ended.stderr.len(), ended.stderr);
    ended
}

/// Runs `check` in all modes at once, since some wait for a timeout.
fn in_all_modes(check: impl Fn(&'static str) + Sync) {
    thread::scope(|threads| {
        for mode in MODES {
            let check = &check;
            threads.spawn(move || check(mode));
        }
    });
}

#[test]
fn strange_model_lists_are_short_errors_in_bounded_memory() {
    in_all_modes(|mode| {
        let ended = run(mode, "/v1/models", &["local", "models"]);
        let works = ["deep-object", "http10", "many", "long-name", "escape", "huge-number", "zero"].contains(&mode);
        if works {
            assert_eq!(ended.code, Some(0), "{mode}: {:.500}", ended.stderr);
            assert_eq!(
                ended.stderr.contains("has 90,000 more models"),
                mode == "many",
                "{mode}: {:.500}",
                ended.stderr
            );
            assert!(ended.stdout.contains("endpoint") && !ended.stdout.contains('\u{1b}'), "{mode}");
        } else {
            assert_eq!(ended.code, Some(69), "{mode}: {ended:#?}");
            assert!(
                ended.stderr.contains("does not list its models") && ended.stderr.contains("cause: "),
                "{mode}: {ended:#?}"
            );
        }
    });
}

#[test]
fn unknown_model_among_100_000_is_a_short_error() {
    let ended = run("many", "/v1/models", &["-p", "x"]);
    assert_eq!(ended.code, Some(69), "{ended:#?}");
    let said = "it has model-0, model-1, model-2, model-3, model-4 and 99,995 more; names must match exactly";
    assert!(ended.stderr.contains(said), "{ended:#?}");
}

#[test]
fn strange_answers_to_the_first_message_are_short_errors_in_bounded_memory() {
    in_all_modes(|mode| {
        let ended = run(mode, "/v1/messages", &["-p", "x"]);
        // These are what a server may answer to an empty request, so the session starts.
        let works = ["status-400", "status-429", "status-500"].contains(&mode);
        assert_eq!(ended.code, Some(if works { 0 } else { 69 }), "{mode}: {ended:#?}");
        assert_eq!(ended.stdout, if works { "started\n" } else { "" }, "{mode}: {ended:#?}");
    });
}
