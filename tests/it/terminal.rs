//! At a terminal lclaude stays out of the way: Claude Code gets the keys, the job can be suspended and resumed, and the
//! shell gets its terminal back unchanged.

use std::{fs, os::unix::fs::symlink};

use rustix::process::Signal;
use support::{
    Fake, Stage, has_ended, json, kill, lclaude, process_state,
    terminal::{PROMPT, Terminal, cursor},
    until,
};

const CTRL_C: &str = "\x03";
const CTRL_Z: &str = "\x1a";

/// A stage on which `lclaude` needs no options.
fn stage() -> Stage {
    let stage = Stage::new();
    configure(&stage, "");
    symlink(lclaude(), stage.bin().join("lclaude")).expect("a link");
    stage
}

fn configure(stage: &Stage, more: &str) {
    stage.config(&format!("backend = \"llamacpp\"\n[llamacpp]\ngguf = {:?}\n{more}", stage.model()));
}

/// Types `lclaude`, and waits for Claude Code and its backend.
fn begin(stage: &Stage, shell: &mut Terminal) -> (Fake, Fake) {
    shell.enter("lclaude");
    let backend = stage.events.next("llama-server");
    (stage.events.next("claude"), backend)
}

/// Checks the exit code of the last command.
fn expect_code(shell: &mut Terminal, code: i32) {
    shell.wait_for(PROMPT);
    shell.enter("echo code=$?.");
    shell.wait_for(&format!("code={code}."));
    shell.wait_for(PROMPT);
}

/// Waits until all are suspended. This polls, because they are not our children.
fn wait_for_suspended(pids: &[i32]) {
    until("they are suspended", || pids.iter().all(|pid| process_state(*pid) == Some('T')));
}

/// Waits until this child of the shell has ended. The shell may leave it a zombie until its next prompt.
fn wait_for_end(pid: i32) {
    until("it has ended", || has_ended(pid));
}

/// Makes Claude Code suspend itself and lclaude, as it does on Ctrl-Z.
fn suspend(claude: &Fake, shell: &mut Terminal) {
    claude.send(json!({"do": "suspend"}));
    shell.wait_for("Stopped");
    shell.wait_for(PROMPT);
    wait_for_suspended(&[claude.pid, claude.ppid]);
}

#[test]
fn claude_code_uses_the_terminal_directly() {
    let stage = stage();
    let mut shell = Terminal::shell(&stage);
    let (claude, _backend) = begin(&stage, &mut shell);
    assert!(claude.stdin_tty && claude.stdout_tty);
    assert_eq!(claude.pgid, claude.ppid, "Claude Code is not in the foreground process group of lclaude");
    assert_eq!(claude.sid, shell.pid());

    claude.send(json!({"do": "read_line"}));
    shell.enter("a question");
    assert_eq!(claude.wait_event("line")["text"], "a question\n");
    claude.send(json!({"do": "print", "text": "an answer\n"}));
    shell.wait_for("an answer");
    claude.send(json!({"do": "exit", "code": 0}));
    expect_code(&mut shell, 0);
    shell.leave();
}

#[test]
fn shell_sees_the_exit_code_or_signal_of_claude_code() {
    let stage = stage();
    let mut shell = Terminal::shell(&stage);
    for (end, code) in [
        (json!({"do": "exit", "code": 0}), 0),
        (json!({"do": "exit", "code": 3}), 3),
        (json!({"do": "signal", "number": 15}), 143),
        (json!({"do": "signal", "number": 9}), 137),
    ] {
        let (claude, backend) = begin(&stage, &mut shell);
        claude.send(end);
        expect_code(&mut shell, code);
        assert!(backend.is_gone(), "the backend outlived lclaude");
    }
    shell.leave();
}

#[test]
fn ctrl_c_reaches_claude_code_once() {
    let stage = stage();
    let mut shell = Terminal::shell(&stage);
    let (claude, backend) = begin(&stage, &mut shell);
    claude.send(json!({"do": "ignore_signals"}));
    claude.wait_event("done");

    shell.type_in(CTRL_C);
    assert_eq!(claude.wait_event("signal")["number"], Signal::INT.as_raw());
    // If lclaude had passed on the interrupt, a second one would come before these signals.
    kill(claude.ppid, Signal::TERM);
    assert_eq!(claude.wait_event("signal")["number"], Signal::TERM.as_raw());
    kill(claude.ppid, Signal::HUP);
    assert_eq!(claude.wait_event("signal")["number"], Signal::HUP.as_raw());

    // A second Ctrl-C reaches Claude Code too, and lclaude runs as long as Claude Code does.
    shell.type_in(CTRL_C);
    assert_eq!(claude.wait_event("signal")["number"], Signal::INT.as_raw());
    assert!(!backend.is_gone());
    claude.send(json!({"do": "exit", "code": 4}));
    expect_code(&mut shell, 4);
    shell.leave();
}

#[test]
fn ctrl_c_that_ends_claude_code_ends_everything() {
    let stage = stage();
    let mut shell = Terminal::shell(&stage);
    let (claude, backend) = begin(&stage, &mut shell);
    shell.type_in(CTRL_C);
    claude.wait_gone();
    expect_code(&mut shell, 0);
    assert!(backend.is_gone());
    shell.leave();
}

#[test]
fn ctrl_z_and_fg_suspend_and_resume_both() {
    // In raw mode Claude Code reads the key and stops its process group; before that, the terminal does.
    for by_claude_code in [true, false] {
        let stage = stage();
        let mut shell = Terminal::shell(&stage);
        let (claude, _backend) = begin(&stage, &mut shell);
        let both = [claude.pid, claude.ppid];
        for _twice in 0..2 {
            if by_claude_code {
                suspend(&claude, &mut shell);
            } else {
                shell.type_in(CTRL_Z);
                shell.wait_for("Stopped");
                shell.wait_for(PROMPT);
                wait_for_suspended(&both);
            }
            shell.enter("fg");
            if by_claude_code {
                claude.wait_event("resumed");
            }
            claude.send(json!({"do": "request", "path": "/v1/messages/count_tokens", "body": {}}));
            assert_eq!(claude.wait_event("response")["status"], 200, "the backend was suspended");
        }
        claude.send(json!({"do": "exit", "code": 5}));
        expect_code(&mut shell, 5);
        shell.leave();
    }
}

#[test]
fn killed_suspended_session_leaves_nothing() {
    for (signal, word) in [("TERM", "Exit 143"), ("HUP", "Exit 129"), ("KILL", "Killed")] {
        let stage = stage();
        let mut shell = Terminal::shell(&stage);
        let (claude, backend) = begin(&stage, &mut shell);
        suspend(&claude, &mut shell);
        shell.enter(&format!("kill -{signal} %1"));
        claude.wait_gone();
        backend.wait_gone();
        wait_for_end(claude.ppid);
        // The shell reports it before a prompt, but on a busy machine not always before the next one.
        until("the shell reports it", || {
            shell.enter("env true");
            shell.wait_for(PROMPT);
            shell.output().contains(word)
        });
        shell.leave();
        // After a KILL the keeper cleans up a little later.
        stage.wait_for_nothing_left();
    }
}

#[test]
fn killing_only_suspended_lclaude_ends_claude_code() {
    let stage = stage();
    let mut shell = Terminal::shell(&stage);
    let (claude, backend) = begin(&stage, &mut shell);
    suspend(&claude, &mut shell);
    // Only lclaude is killed, while Claude Code is still suspended.
    kill(claude.ppid, Signal::KILL);
    claude.wait_gone();
    backend.wait_gone();
    wait_for_end(claude.ppid);
    shell.leave();
    stage.wait_for_nothing_left();
}

#[test]
fn terminal_is_restored_after_claude_code_is_killed_in_raw_mode() {
    for signal in [9, 11] {
        let stage = stage();
        let mut shell = Terminal::shell(&stage);
        let before = shell.modes();
        let (claude, _backend) = begin(&stage, &mut shell);
        raw_mode(&claude, &mut shell, &before);
        claude.send(json!({"do": "signal", "number": signal}));
        shell.wait_for("\x1b[?1049l");
        expect_code(&mut shell, 128 + signal);
        assert_eq!(shell.modes(), before);
        shell.leave();
    }
}

#[test]
fn terminal_is_restored_after_the_backend_is_lost_in_raw_mode() {
    let stage = stage();
    configure(&stage, "[lifetime]\nrestarts = 0\n");
    let mut shell = Terminal::shell(&stage);
    let before = shell.modes();
    let (claude, backend) = begin(&stage, &mut shell);
    raw_mode(&claude, &mut shell, &before);
    backend.send(json!({"do": "exit", "code": 7}));
    // The error is printed after the terminal has left the alternate screen.
    shell.wait_for("\x1b[?1049l");
    shell.wait_for("exited with code 7");
    expect_code(&mut shell, 69);
    assert_eq!(shell.modes(), before);
    shell.leave();
}

#[test]
fn cursor_stays_where_it_was_after_claude_code_is_killed() {
    for full_screen in [false, true] {
        let stage = stage();
        let mut terminal = Terminal::start(stage.lclaude(&[]));
        let _backend = stage.events.next("llama-server");
        let claude = stage.events.next("claude");
        let lines: String = (1..=10).map(|line| format!("line {line}\n")).collect();
        claude.send(json!({"do": "print", "text": lines}));
        terminal.wait_for("line 10\r\n");
        let before = cursor(&terminal.output());
        assert!(before.0 >= 10, "{before:?}");
        if full_screen {
            let modes = terminal.modes();
            raw_mode(&claude, &mut terminal, &modes);
            claude.send(json!({"do": "print", "text": "\x1b[5;5Hdrawn"}));
            terminal.wait_for("drawn");
            assert_ne!(cursor(&terminal.output()), before);
        }
        claude.send(json!({"do": "signal", "number": 9}));
        assert_eq!(cursor(&terminal.wait_to_the_end(137)), before, "full screen: {full_screen}");
    }
}

/// Makes Claude Code take over the terminal as a full-screen program does.
fn raw_mode(claude: &Fake, shell: &mut Terminal, before: &str) {
    claude.send(json!({"do": "raw_mode"}));
    claude.wait_event("done");
    shell.wait_for("\x1b[?1049h");
    assert_ne!(shell.modes(), before);
}

#[test]
fn unchanged_terminal_is_not_reset() {
    let stage = stage();
    let mut shell = Terminal::shell(&stage);
    let (claude, _backend) = begin(&stage, &mut shell);
    claude.send(json!({"do": "exit", "code": 1}));
    expect_code(&mut shell, 1);
    assert!(!shell.output().contains("\x1b[?1049l"), "{:?}", shell.output());
    shell.leave();
}

#[test]
fn closing_the_terminal_leaves_nothing() {
    // This also holds if Claude Code ignores the hangup.
    for stubborn in [false, true] {
        let stage = stage();
        let mut shell = Terminal::shell(&stage);
        let (claude, backend) = begin(&stage, &mut shell);
        if stubborn {
            claude.send(json!({"do": "ignore_signals"}));
            claude.wait_event("done");
        }
        shell.close();
        if stubborn {
            assert_eq!(claude.wait_event("signal")["number"], Signal::HUP.as_raw());
            // It exits once it notices that its terminal is gone.
            claude.send(json!({"do": "exit", "code": 1}));
        }
        claude.wait_gone();
        backend.wait_gone();
        shell.wait();
        stage.wait_for_nothing_left();
    }
}

#[test]
fn closing_the_terminal_of_a_suspended_session_leaves_nothing() {
    let stage = stage();
    let mut shell = Terminal::shell(&stage);
    let (claude, backend) = begin(&stage, &mut shell);
    suspend(&claude, &mut shell);
    shell.close();
    claude.wait_gone();
    backend.wait_gone();
    shell.wait();
    stage.wait_for_nothing_left();
}

#[test]
fn closing_a_terminal_without_a_shell_leaves_nothing() {
    let stage = stage();
    let mut terminal = Terminal::start(stage.lclaude(&[]));
    let backend = stage.events.next("llama-server");
    let claude = stage.events.next("claude");
    terminal.close();
    claude.wait_gone();
    assert_eq!(terminal.wait(), Some(129));
    assert!(backend.is_gone());
}

#[test]
fn closing_the_terminal_during_startup_leaves_nothing() {
    let mut stage = stage();
    stage.set("FAKE_LLAMA_LOAD", "controlled");
    let mut shell = Terminal::shell(&stage);
    shell.enter("lclaude");
    let backend = stage.events.next("llama-server");
    shell.wait_for("loading the model");
    shell.close();
    backend.wait_gone();
    shell.wait();
    stage.wait_for_nothing_left();
}

#[test]
fn killing_the_shell_leaves_nothing() {
    let stage = stage();
    let mut shell = Terminal::shell(&stage);
    let (claude, backend) = begin(&stage, &mut shell);
    kill(shell.pid(), Signal::KILL);
    claude.wait_gone();
    backend.wait_gone();
    shell.wait();
    stage.wait_for_nothing_left();
}

#[test]
fn pipeline_gets_only_the_output_of_claude_code() {
    let stage = stage();
    let mut shell = Terminal::shell(&stage);
    shell.enter("lclaude -p question | tee answer.txt");
    let claude = stage.events.next("claude");
    assert!(claude.stdin_tty && !claude.stdout_tty);
    claude.send(json!({"do": "print", "text": "an answer\n"}));
    claude.wait_event("done");
    claude.send(json!({"do": "exit", "code": 0}));
    expect_code(&mut shell, 0);
    let answer = fs::read_to_string(stage.project().join("answer.txt")).expect("the answer");
    assert_eq!(answer, "an answer\n");
    shell.leave();
}
