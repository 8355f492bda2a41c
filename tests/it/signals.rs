//! Signals reach Claude Code exactly once, whoever sends them, and a shell sees which one ended lclaude.

use std::{fs, os::unix::fs::symlink};

use rustix::process::Signal;
use support::{
    Fake, Session, Stage, Value, json, kill, lclaude,
    terminal::{PROMPT, Terminal},
};

const CTRL_C: &str = "\x03";
const CTRL_BACKSLASH: &str = "\x1c";
/// Signals that end lclaude when they end Claude Code.
const ENDING: [Signal; 4] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];

/// A stage on which `lclaude` needs no options.
fn stage() -> Stage {
    let stage = Stage::new();
    stage.config(&format!("backend = \"llamacpp\"\n[llamacpp]\ngguf = {:?}\n", stage.model()));
    symlink(lclaude(), stage.bin().join("lclaude")).expect("a link");
    stage
}

/// Waits for Claude Code and its backend, and makes Claude Code only report signals.
fn reporting(stage: &Stage) -> (Fake, Fake) {
    let backend = stage.events.next("llama-server");
    let claude = stage.events.next("claude");
    claude.send(json!({"do": "ignore_signals"}));
    claude.wait_event("done");
    (claude, backend)
}

#[track_caller]
fn expect_next(claude: &Fake, signal: Signal) {
    assert_eq!(claude.wait_event("signal")["number"], signal.as_raw());
}

#[test]
fn each_signal_reaches_claude_code_once() {
    let stage = stage();
    let mut shell = Terminal::shell(&stage);
    shell.enter("lclaude -p question");
    let (claude, _backend) = reporting(&stage);
    // If one arrived twice, the second would come before, or instead of, one of the TERMs.
    for (key, signal) in [(CTRL_C, Signal::INT), (CTRL_BACKSLASH, Signal::QUIT)] {
        for _twice in 0..2 {
            shell.type_in(key);
            expect_next(&claude, signal);
            kill(claude.ppid, Signal::TERM);
            expect_next(&claude, Signal::TERM);
            kill(claude.ppid, signal);
            expect_next(&claude, signal);
            kill(claude.ppid, Signal::TERM);
            expect_next(&claude, Signal::TERM);
        }
    }
    claude.send(json!({"do": "exit", "code": 0}));
    shell.wait_for(PROMPT);
    shell.leave();
}

#[test]
fn lclaude_ends_as_claude_code_does() {
    let dies = |signal: Signal| json!({"do": "signal", "number": signal.as_raw()});
    let mut ends: Vec<(Value, i32, Option<Signal>)> =
        ENDING.iter().map(|signal| (dies(*signal), 128 + signal.as_raw(), Some(*signal))).collect();
    ends.extend([
        (dies(Signal::KILL), 137, None),
        (dies(Signal::SEGV), 139, None),
        (json!({"do": "exit", "code": 130}), 130, None),
        (json!({"do": "exit", "code": 143}), 143, None),
    ]);
    for (end, code, signal) in ends {
        let stage = Stage::new();
        let (session, claude, _backend) = stage.running();
        claude.send(end.clone());
        let ended = session.wait().expect(code);
        assert_eq!(ended.signal, signal.map(Signal::as_raw), "{end}: {ended:#?}");
        stage.assert_nothing_left();
    }
}

#[test]
fn signal_during_startup_ends_lclaude() {
    for signal in ENDING {
        for local in [&["-p", "hello"][..], &["local", "run", "--", "true"], &["local", "serve"]] {
            let mut stage = stage();
            stage.set("FAKE_LLAMA_LOAD", "controlled");
            let session = Session::start(&mut stage.lclaude(local));
            stage.events.next("llama-server");
            session.signal(signal);
            session.wait().expect_signal(signal);
            stage.assert_nothing_left();
        }
    }
}

#[test]
fn exit_code_130_is_the_signal_only_after_ctrl_c() {
    for by_key in [true, false] {
        let stage = stage();
        let terminal = Terminal::start(stage.lclaude(&["-p", "question"]));
        let (claude, _backend) = reporting(&stage);
        match by_key {
            true => terminal.type_in(CTRL_C),
            false => kill(claude.ppid, Signal::INT),
        }
        expect_next(&claude, Signal::INT);
        claude.send(json!({"do": "exit", "code": 130}));
        let signal = terminal.wait_for_signal();
        assert_eq!(signal, by_key.then_some(Signal::INT.as_raw()));
    }
}

/// Ends Claude Code after Ctrl-C.
type End = fn(&Fake);

#[test]
fn ctrl_c_ends_a_loop_of_the_shell() {
    let ends: [(&str, End); 2] = [
        ("by the signal", |claude| claude.send(json!({"do": "signal", "number": 2}))),
        ("with 130", |claude| claude.send(json!({"do": "exit", "code": 130}))),
    ];
    for (name, end) in ends {
        let stage = stage();
        let mut shell = Terminal::shell(&stage);
        shell.enter("for i in 1 2 3; do lclaude -p x; unset FAKE_EVENTS; done; echo not reached");
        let (claude, backend) = reporting(&stage);
        shell.type_in(CTRL_C);
        expect_next(&claude, Signal::INT);
        end(&claude);
        shell.wait_for(PROMPT);
        assert!(backend.is_gone(), "{name}");
        shell.enter("echo code=$?.");
        shell.wait_for("code=130.");
        assert!(stage.events.rest().is_empty() && shell.output().matches("not reached").count() == 1, "{name}");
        shell.leave();
    }
}

#[test]
fn ctrl_c_ends_a_script() {
    let stage = stage();
    let script = stage.project().join("script");
    fs::write(&script, "for i in 1 2 3; do lclaude -p x; unset FAKE_EVENTS; done\ntouch reached\n").expect("a file");
    let mut bash = stage.command("bash");
    bash.arg(&script);
    let terminal = Terminal::start(bash);
    let (claude, _backend) = reporting(&stage);
    terminal.type_in(CTRL_C);
    expect_next(&claude, Signal::INT);
    claude.send(json!({"do": "signal", "number": 2}));
    assert_eq!(terminal.wait_for_signal(), Some(Signal::INT.as_raw()));
    assert!(stage.events.rest().is_empty() && !stage.project().join("reached").exists());
}
