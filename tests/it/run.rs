//! `lclaude local run` runs any program in the environment of a session, with the same guarantees.

use std::fs;

use rustix::process::Signal;
use support::{
    Fake, Session, Stage, finish, json, kill, lclaude, messages, process_state,
    system::command_line,
    terminal::{PROMPT, Terminal},
    turn,
};

/// The fake Claude Code as an arbitrary program, whose arguments lclaude must not change.
const PROGRAM: &[&str] = &["--", "claude", "-p", "hello"];

fn run(stage: &Stage, options: &[&str], program: &[&str]) -> std::process::Command {
    stage.lclaude(&[&["local", "run", "--backend", "llamacpp", "--model", "tiny.gguf"], options, program].concat())
}

fn running(stage: &Stage) -> (Session, Fake, Fake) {
    stage.started(&mut run(stage, &[], PROGRAM))
}

#[test]
fn program_gets_session_variables_and_unchanged_arguments() {
    let mut stage = Stage::new();
    stage.config("[claude]\nargs = [\"--verbose\"]\nenv = { EDITOR = \"vim\" }\n");
    stage.set("ANTHROPIC_API_KEY", "theirs").set("OTEL_LOGS_EXPORTER", "otlp").set("NO_PROXY", "intern");
    let words = ["claude", "-p", "--model", "opus", "--", "--setting-sources", "", "--lean"];
    let (session, program, backend) = stage.started(&mut run(&stage, &["--"], &words));
    assert_eq!(program.argv, words);
    assert_eq!(program.env["ANTHROPIC_BASE_URL"], format!("http://127.0.0.1:{}", support::port(&backend)));
    assert_eq!(program.env["ANTHROPIC_AUTH_TOKEN"], backend.env["LLAMA_API_KEY"]);
    assert_eq!(program.env["CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST"], "1");
    assert_eq!(program.env["ANTHROPIC_DEFAULT_HAIKU_MODEL"], "tiny");
    assert_eq!(program.env["NO_PROXY"], "intern,127.0.0.1,localhost");
    assert_eq!(program.env["EDITOR"], "vim");
    for name in ["ANTHROPIC_API_KEY", "OTEL_LOGS_EXPORTER"] {
        assert_eq!(program.env.get(name), None);
    }
    assert_eq!(program.cwd, stage.project().to_string_lossy());
    turn(&program);
    finish(session, &program);
    assert!(backend.is_gone());
}

#[test]
fn double_dash_is_optional_before_the_program() {
    let stage = Stage::new();
    let script = r#"printf '%s ' "$0" "$@"; exit 5"#;
    let ended = stage.ended(&mut run(&stage, &[], &["sh", "-c", script, "zero", "-a", "--", "--yes"])).expect(5);
    // lclaude adds no arguments and no output.
    assert_eq!(ended.stdout, "zero -a -- --yes ");
}

#[test]
fn exit_code_and_signal_of_the_program_are_passed_on() {
    for (end, code) in [(json!({"do": "exit", "code": 3}), 3), (json!({"do": "signal", "number": 9}), 137)] {
        let stage = Stage::new();
        let (session, program, backend) = running(&stage);
        program.send(end);
        session.wait().expect(code);
        assert!(backend.is_gone());
    }
}

#[test]
fn signals_reach_the_program() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 0)] {
        let stage = Stage::new();
        let (session, program, _backend) = running(&stage);
        session.signal(signal);
        assert_eq!(program.wait_event("signal")["number"], signal.as_raw());
        session.wait().expect(code);
    }
}

#[test]
fn killing_lclaude_ends_program_and_backend() {
    for ignores in [false, true] {
        let stage = Stage::new();
        let (session, program, backend) = running(&stage);
        if ignores {
            program.send(json!({"do": "ignore_signals"}));
            program.wait_event("done");
        }
        session.signal(Signal::KILL);
        session.wait();
        program.wait_gone();
        backend.wait_gone();
        stage.wait_for_nothing_left();
    }
}

#[test]
fn program_survives_a_killed_backend_and_keeper() {
    messages!();
    let stage = Stage::new();
    let (session, program, backend) = running(&stage);
    kill(backend.pid, Signal::KILL);
    turn(&program);
    let second = stage.events.next("llama-server");
    kill(stage.keeper(), Signal::KILL);
    second.wait_gone();
    let third = stage.events.next("llama-server");
    assert_eq!((&second.argv, &third.argv), (&backend.argv, &backend.argv), "the same port");
    turn(&program);
    let ended = finish(session, &program);
    assert!(ended.record().stderr.contains("restarted once"));
}

#[test]
fn lost_backend_ends_the_program() {
    messages!();
    let stage = Stage::new();
    stage.config("[lifetime]\nrestarts = 0\n");
    let (session, program, backend) = running(&stage);
    kill(backend.pid, Signal::KILL);
    program.wait_gone();
    session.wait().expect_failure(69);
}

#[test]
fn run_shares_its_backend_with_sessions() {
    let stage = Stage::new();
    let (session, program, backend) = running(&stage);
    let (other, claude) = stage.joining();
    assert_eq!(program.env["ANTHROPIC_BASE_URL"], claude.env["ANTHROPIC_BASE_URL"]);
    finish(session, &program);
    assert!(!backend.is_gone());
    finish(other, &claude);
    assert!(backend.is_gone());
}

#[test]
fn missing_program_error_shows_an_example() {
    messages!();
    let stage = Stage::new();
    for words in [&["local", "run"][..], &["local", "run", "--model", "tiny.gguf", "--"]] {
        stage.output(words).expect_failure(64);
    }
    // An unknown option is not taken for the program.
    stage.output(&["local", "run", "--modle", "x", "--", "claude"]).expect_failure(64);
    stage.assert_nothing_started();
}

#[test]
fn unusable_program_exits_with_127_and_starts_nothing() {
    messages!();
    let stage = Stage::new();
    fs::write(stage.project().join("agent"), "#!/bin/sh\n").expect("a file");
    for program in ["no-such-program", "./no-such-program", "agent", "./agent", "../"] {
        stage.ended(&mut run(&stage, &["--"], &[program])).expect_failure(127);
    }
    stage.assert_nothing_started();
}

#[test]
fn dry_run_shows_the_program_and_starts_nothing() {
    messages!();
    let stage = Stage::new();
    let ended = stage.ended(&mut run(&stage, &["--dry-run"], PROGRAM)).expect(0).record();
    assert!(!ended.stdout.contains("--settings"), "{}", ended.stdout);
    stage.assert_nothing_started();
}

#[test]
fn context_is_checked_before_the_program_starts() {
    messages!();
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_N_CTX", 4_096);
    stage.ended(&mut run(&stage, &[], PROGRAM)).expect_failure(69);
    stage.set("FAKE_LLAMA_N_CTX", 32_768);
    // lclaude doesn't add the options of a lean session to the program's arguments.
    let (session, program, _backend) = running(&stage);
    assert_eq!(program.argv, PROGRAM[1..]);
    assert_eq!(program.env["CLAUDE_CODE_DISABLE_AUTO_MEMORY"], "1");
    finish(session, &program).record();
}

#[test]
fn larger_context_is_not_suggested_beyond_the_trained_one() {
    messages!();
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_N_CTX_TRAIN", 8192);
    let ended = stage.ended(&mut run(&stage, &[], PROGRAM)).expect_failure(69);
    assert!(!ended.stderr.contains("--context"), "{}", ended.stderr);
}

#[test]
fn settings_that_override_the_environment_cause_a_warning() {
    messages!();
    let stage = Stage::new();
    let settings = stage.home().join(".claude/settings.json");
    fs::create_dir_all(settings.parent().expect("a directory")).expect("a directory");
    fs::write(&settings, r#"{"env": {"OTEL_LOGS_EXPORTER": "otlp"}, "model": "opus"}"#).expect("a file");
    let before = stage.home_files();
    let (session, program, _backend) = running(&stage);
    finish(session, &program).record();
    assert_eq!(stage.home_files(), before);
}

#[test]
fn throwaway_home_replaces_the_home_of_claude_code() {
    let stage = Stage::new();
    stage.config("throwaway = true\n");
    let settings = stage.home().join(".claude/settings.json");
    fs::create_dir_all(settings.parent().expect("a directory")).expect("a directory");
    fs::write(&settings, r#"{"env": {"OTEL_LOGS_EXPORTER": "otlp"}}"#).expect("a file");
    let (session, program, _backend) = running(&stage);
    let home = std::path::PathBuf::from(&program.env["CLAUDE_CONFIG_DIR"]);
    assert!(home.starts_with(stage.runtime()) && home.join(".claude.json").exists(), "{}", home.display());
    let said = finish(session, &program).stderr;
    // The program doesn't read the user's settings, so there is no warning.
    assert!(!home.exists() && !said.contains("warning"), "{said}");
}

#[test]
fn token_is_not_on_any_command_line() {
    let stage = Stage::new();
    let (session, program, backend) = running(&stage);
    let token = &backend.env["LLAMA_API_KEY"];
    for pid in [program.pid, session.pid()] {
        let line = command_line(pid);
        assert!(!line.is_empty() && !line.contains(token), "{line}");
    }
    assert!(!finish(session, &program).stderr.contains(token));
}

#[test]
fn terminal_belongs_to_the_program_and_is_restored() {
    let stage = Stage::new();
    let mut shell = Terminal::shell(&stage);
    let before = shell.modes();
    let line = format!("{} local run --backend llamacpp --model tiny.gguf claude", lclaude().display());
    shell.enter(&line);
    let program = stage.events.next("claude");
    assert!(program.stdin_tty && program.stdout_tty);
    program.send(json!({"do": "ignore_signals"}));
    program.wait_event("done");
    shell.type_in("\x03");
    assert_eq!(program.wait_event("signal")["number"], Signal::INT.as_raw());
    // If lclaude had passed on the interrupt, a second one would come before this signal.
    kill(program.ppid, Signal::HUP);
    assert_eq!(program.wait_event("signal")["number"], Signal::HUP.as_raw());
    // The program and lclaude are suspended as one job.
    program.send(json!({"do": "suspend"}));
    shell.wait_for("Stopped");
    shell.wait_for(PROMPT);
    assert!(matches!(process_state(program.pid), Some('T')));
    shell.enter("fg");
    program.wait_event("resumed");
    program.send(json!({"do": "raw_mode"}));
    program.wait_event("done");
    program.send(json!({"do": "signal", "number": 9}));
    shell.wait_for(PROMPT);
    shell.enter("echo code=$?.");
    shell.wait_for("code=137.");
    shell.wait_for(PROMPT);
    assert_eq!(shell.modes(), before);
    shell.leave();
}
