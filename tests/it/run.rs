//! `lclaude local run`: any program in the environment of a session, with a session's promises.

use std::fs;

use rustix::process::Signal;
use support::{
    Fake, Session, Stage, finish, has_ended, json, kill, lclaude, messages, process_state,
    terminal::{PROMPT, Terminal},
    turn,
};

/// The fake Claude Code as some program or other: what it is told is not lclaude's to change.
const PROGRAM: &[&str] = &["--", "claude", "-p", "hello"];

fn run(stage: &Stage, options: &[&str], program: &[&str]) -> std::process::Command {
    stage.lclaude(&[&["local", "run", "--backend", "llamacpp", "--model", "tiny.gguf"], options, program].concat())
}

fn running(stage: &Stage) -> (Session, Fake, Fake) {
    stage.started(&mut run(stage, &[], PROGRAM))
}

#[test]
fn a_program_gets_the_variables_of_a_session_and_its_arguments_as_they_are() {
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
    assert!(has_ended(&backend));
}

#[test]
fn two_dashes_may_be_left_out_and_are_then_the_programs() {
    let stage = Stage::new();
    let script = r#"printf '%s ' "$0" "$@"; exit 5"#;
    let ended = stage.ended(&mut run(&stage, &[], &["sh", "-c", script, "zero", "-a", "--", "--yes"])).expect(5);
    // Nothing of lclaude's own among it.
    assert_eq!(ended.stdout, "zero -a -- --yes ");
}

#[test]
fn its_exit_code_and_signal_are_passed_on() {
    for (end, code) in [(json!({"do": "exit", "code": 3}), 3), (json!({"do": "signal", "number": 9}), 137)] {
        let stage = Stage::new();
        let (session, program, backend) = running(&stage);
        program.send(end);
        session.wait().expect(code);
        assert!(has_ended(&backend));
    }
}

#[test]
fn signals_reach_it() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 0)] {
        let stage = Stage::new();
        let (session, program, _backend) = running(&stage);
        session.signal(signal);
        assert_eq!(program.wait_event("signal")["number"], signal.as_raw());
        session.wait().expect(code);
    }
}

#[test]
fn killing_lclaude_ends_it_and_the_backend_even_if_it_ignores_that() {
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
fn a_killed_backend_and_a_killed_keeper_cost_it_nothing() {
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
    assert!(ended.record().stderr.contains("1×"));
}

#[test]
fn a_backend_lost_for_good_ends_it() {
    messages!();
    let stage = Stage::new();
    stage.config("[lifetime]\nrestarts = 0\n");
    let (session, program, backend) = running(&stage);
    kill(backend.pid, Signal::KILL);
    program.wait_gone();
    session.wait().expect_failure(69);
}

#[test]
fn it_shares_its_backend_with_sessions() {
    let stage = Stage::new();
    let (session, program, backend) = running(&stage);
    let (other, claude) = stage.joining();
    assert_eq!(program.env["ANTHROPIC_BASE_URL"], claude.env["ANTHROPIC_BASE_URL"]);
    finish(session, &program);
    assert!(!has_ended(&backend));
    finish(other, &claude);
    assert!(has_ended(&backend));
}

#[test]
fn without_a_program_an_example_is_shown() {
    messages!();
    let stage = Stage::new();
    for words in [&["local", "run"][..], &["local", "run", "--model", "tiny.gguf", "--"]] {
        stage.output(words).expect_failure(64);
    }
    // An option that nobody has is not taken for a program.
    stage.output(&["local", "run", "--modle", "x", "--", "claude"]).expect_failure(64);
    stage.assert_nothing_started();
}

#[test]
fn a_program_that_cannot_be_started_is_127_and_starts_nothing() {
    messages!();
    let stage = Stage::new();
    fs::write(stage.project().join("agent"), "#!/bin/sh\n").expect("a file");
    for program in ["no-such-program", "./no-such-program", "agent", "./agent", "../"] {
        stage.ended(&mut run(&stage, &["--"], &[program])).expect_failure(127);
    }
    stage.assert_nothing_started();
}

#[test]
fn dry_run_starts_nothing_and_shows_the_program() {
    messages!();
    let stage = Stage::new();
    let ended = stage.ended(&mut run(&stage, &["--dry-run"], PROGRAM)).expect(0).record();
    assert!(!ended.stdout.contains("--settings"), "{}", ended.stdout);
    stage.assert_nothing_started();
}

#[test]
fn what_is_judged_before_a_session_is_judged_before_a_program() {
    messages!();
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_N_CTX", 4_096);
    stage.ended(&mut run(&stage, &[], PROGRAM)).expect_failure(69);
    stage.set("FAKE_LLAMA_N_CTX", 32_768);
    // Whatever is small about it is for the program's own arguments to say.
    let (session, program, _backend) = running(&stage);
    assert_eq!(program.argv, PROGRAM[1..]);
    assert_eq!(program.env["CLAUDE_CODE_DISABLE_AUTO_MEMORY"], "1");
    finish(session, &program).record();
}

#[test]
fn of_a_model_that_has_no_more_none_is_asked() {
    messages!();
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_N_CTX_TRAIN", 8192);
    let ended = stage.ended(&mut run(&stage, &[], PROGRAM)).expect_failure(69);
    assert!(!ended.stderr.contains("--context"), "{}", ended.stderr);
}

#[test]
fn what_only_an_overlay_could_overrule_is_said() {
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
fn a_throwaway_home_is_every_programs_who_looks_for_claude_codes() {
    let stage = Stage::new();
    stage.config("throwaway = true\n");
    let settings = stage.home().join(".claude/settings.json");
    fs::create_dir_all(settings.parent().expect("a directory")).expect("a directory");
    fs::write(&settings, r#"{"env": {"OTEL_LOGS_EXPORTER": "otlp"}}"#).expect("a file");
    let (session, program, _backend) = running(&stage);
    let home = std::path::PathBuf::from(&program.env["CLAUDE_CONFIG_DIR"]);
    assert!(home.starts_with(stage.runtime()) && home.join(".claude.json").exists(), "{}", home.display());
    let said = finish(session, &program).stderr;
    // Nobody reads those settings.
    assert!(!home.exists() && !said.contains("warning"), "{said}");
}

#[test]
fn no_token_is_in_sight() {
    let stage = Stage::new();
    let (session, program, backend) = running(&stage);
    let token = &backend.env["LLAMA_API_KEY"];
    let line = |pid: i32| fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("it runs");
    assert!(!line(program.pid).contains(token) && !line(session.pid()).contains(token));
    assert!(!finish(session, &program).stderr.contains(token));
}

#[test]
fn at_a_terminal_the_keys_are_its_own_and_the_terminal_comes_back_as_it_was() {
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
    // Had lclaude passed the interrupt on as well, that would come first.
    kill(program.ppid, Signal::HUP);
    assert_eq!(program.wait_event("signal")["number"], Signal::HUP.as_raw());
    // Suspended with lclaude, as one job.
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
