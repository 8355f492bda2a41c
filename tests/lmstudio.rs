//! On LM Studio: our own instance of exactly the model that was asked for, and everything as it was afterwards.

mod support;

use std::{collections::BTreeMap, fs, path::PathBuf};

use rustix::process::Signal;
use support::{Fake, Session, Stage, Value, json, kill, machine::has_an_ollama, terminal::Terminal};

const MODELS: &str = r#"[
    {"modelKey": "glm-4.7-flash-mini", "type": "llm", "sizeBytes": 1000000000, "trainedForToolUse": true, "maxContextLength": 131072},
    {"modelKey": "zai-org/glm-4.7-flash", "type": "llm", "sizeBytes": 9000000000, "trainedForToolUse": true, "maxContextLength": 131072},
    {"modelKey": "talker", "type": "llm", "sizeBytes": 1000000000, "trainedForToolUse": false, "maxContextLength": 32768},
    {"modelKey": "short", "type": "llm", "sizeBytes": 1000000000, "trainedForToolUse": true, "maxContextLength": 32768},
    {"modelKey": "later", "type": "llm", "sizeBytes": 1000000000, "trainedForToolUse": true, "maxContextLength": 131072, "installed": false}
]"#;

fn stage() -> Stage {
    let mut stage = Stage::with(&["fake-claude"]);
    let home = stage.home().join(".lmstudio");
    fs::create_dir_all(home.join("bin")).expect("a directory");
    stage.install("fake-lms", &home.join("bin/lms"));
    fs::write(home.join("models.json"), MODELS).expect("a file");
    stage.set("FAKE_LMS_STATE", home.display()).set("LCLAUDE_BACKEND", "lmstudio");
    stage
}

/// What LM Studio remembers, and what runs and is loaded.
fn state(stage: &Stage) -> BTreeMap<PathBuf, String> {
    let home = stage.home().join(".lmstudio");
    let files = ["running.json", ".internal/http-server-config.json", ".internal/cli-pref.json"];
    let read = files.map(|file| home.join(file)).into_iter();
    read.filter_map(|file| Some((file.clone(), fs::read_to_string(&file).ok()?))).collect()
}

/// The user's own LM Studio, which is none of this stage's processes.
fn lms(stage: &Stage, arguments: &[&str]) {
    let lms = stage.home().join(".lmstudio/bin/lms");
    let status = stage.command(lms).args(arguments).env("HOME", "/nonexistent").status().expect("lms runs");
    assert!(status.success(), "{arguments:?}");
}

/// The commands lclaude gave, without the words for people.
fn commands(stage: &Stage) -> Vec<String> {
    let log = fs::read_to_string(stage.home().join(".lmstudio/invocations.jsonl")).unwrap_or_default();
    let words = log.lines().map(|line| serde_json::from_str::<Vec<String>>(line).expect("a list"));
    words.map(|words| words.join(" ")).collect()
}

fn run(stage: &Stage, arguments: &[&str]) -> (Session, Fake) {
    let session = Session::start(stage.lclaude(arguments).args(["-p", "x"]));
    (session, stage.events.next("claude"))
}

fn end(stage: &Stage, session: Session, claude: &Fake) {
    claude.send(json!({"do": "exit", "code": 0}));
    session.wait().expect(0);
    // LM Studio's daemon has said that it ends, and takes a moment over it.
    stage.wait_for_nothing_left();
}

#[test]
fn from_nothing_it_starts_everything_and_ends_it_again() {
    let stage = stage();
    let (session, claude) = run(&stage, &[]);
    let studio = stage.events.next("lmstudio");
    assert_eq!(
        claude.env["ANTHROPIC_DEFAULT_OPUS_MODEL"], "lclaude/zai-org/glm-4.7-flash",
        "not the first that looks like it"
    );
    assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "65536");
    assert_eq!(studio.env.keys().find(|name| name.starts_with("ANTHROPIC_")), None);
    claude.send(json!({"do": "request", "path": "/v1/messages", "body": {
        "model": "lclaude/zai-org/glm-4.7-flash", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}],
    }}));
    assert_eq!(claude.wait_event("response")["status"], 200);
    end(&stage, session, &claude);
    assert!(studio.is_gone());
    // Never started before, so no file of it is left either, but for the word that nothing runs.
    let left = state(&stage);
    let files: Vec<&PathBuf> = left.keys().collect();
    assert!(files.iter().all(|file| file.ends_with("running.json")), "{left:#?}");
}

#[test]
fn what_the_user_had_running_is_used_and_left_as_it_was() {
    let stage = stage();
    lms(
        &stage,
        &["server", "start", "-p", "1", "--bind", "127.0.0.1"].map(|word| if word == "1" { free() } else { word }),
    );
    lms(&stage, &["load", "zai-org/glm-4.7-flash", "-c", "8192", "-y"]);
    let before = state(&stage);
    let given = commands(&stage).len();
    let (session, claude) = run(&stage, &[]);
    end(&stage, session, &claude);
    assert_eq!(state(&stage), before);
    let ours = &commands(&stage)[given..];
    assert!(!ours.iter().any(|line| line.starts_with("server st") && !line.starts_with("server status")), "{ours:#?}");
    assert!(ours.contains(&"unload lclaude/zai-org/glm-4.7-flash".to_owned()), "{ours:#?}");
    assert!(!ours.iter().any(|line| line.starts_with("daemon up") || line.starts_with("daemon down")), "{ours:#?}");
    lms(&stage, &["daemon", "down"]);
}

/// A port that is free now; leaked, since it is a word of a command.
fn free() -> &'static str {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    port.to_string().leak()
}

#[test]
fn the_remembered_port_is_put_back() {
    let stage = stage();
    lms(&stage, &["server", "start", "-p", free()]);
    lms(&stage, &["server", "stop"]);
    let before = state(&stage);
    let (session, claude) = run(&stage, &[]);
    end(&stage, session, &claude);
    assert_eq!(state(&stage), before);
    lms(&stage, &["daemon", "down"]);
}

#[test]
fn whatever_is_killed_it_is_as_before() {
    for both in [false, true] {
        let stage = stage();
        lms(&stage, &["server", "start", "-p", free()]);
        let before = state(&stage);
        let (session, claude) = run(&stage, &[]);
        if both {
            kill(stage.keeper(), Signal::STOP);
            session.signal(Signal::KILL);
            kill(stage.keeper(), Signal::KILL);
            claude.wait_gone();
            drop(session);
            // The next session finds what they left, whatever it runs on.
            let (session, claude) = run(&stage, &["--context", "50000"]);
            end(&stage, session, &claude);
        } else {
            kill(stage.keeper(), Signal::KILL);
            claude.send(json!({"do": "request", "path": "/v1/messages", "body": {
                "model": "lclaude/zai-org/glm-4.7-flash", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}],
            }}));
            assert_eq!(claude.wait_event("response")["status"], 200);
            end(&stage, session, &claude);
        }
        assert_eq!(state(&stage), before, "both: {both}");
        lms(&stage, &["daemon", "down"]);
    }
}

#[test]
fn there_is_one_lm_studio_and_it_is_not_pulled_two_ways() {
    let stage = stage();
    let (session, claude) = run(&stage, &[]);
    let ended = stage.output(&["--context", "50000", "-p", "x"]);
    ended.expect_failure(69, &["LM Studio is in use by another lclaude", "same model and context"]);
    let (second, second_claude) = run(&stage, &[]);
    second_claude.send(json!({"do": "exit", "code": 0}));
    second.wait().expect(0);
    end(&stage, session, &claude);
}

#[test]
fn a_key_must_match_to_the_letter() {
    let stage = stage();
    let ended = stage.output(&["--model", "glm-4.7-flash", "-p", "x"]);
    ended.expect_failure(69, &["no model glm-4.7-flash", "--model zai-org/glm-4.7-flash", "lms get glm-4.7-flash"]);
    let ended = stage.output(&["--model", "talker", "-p", "x"]);
    ended.expect_failure(69, &["talker cannot call tools", "--model glm-4.7-flash-mini", "zai-org/glm-4.7-flash"]);
    assert!(!commands(&stage).iter().any(|line| line.starts_with("load")), "{:#?}", commands(&stage));
}

#[test]
fn a_model_that_is_evicted_in_mid_session_is_loaded_again() {
    let stage = stage();
    let (session, claude) = run(&stage, &[]);
    let studio = stage.events.next("lmstudio");
    studio.wait_event("loaded");
    studio.send(json!({"do": "evict", "identifier": "lclaude/zai-org/glm-4.7-flash"}));
    assert_eq!(studio.wait_event("loaded")["identifier"], "lclaude/zai-org/glm-4.7-flash");
    end(&stage, session, &claude);
}

#[test]
fn a_missing_model_is_downloaded_when_the_user_says_yes() {
    let stage = stage();
    let (session, claude) = run(&stage, &["--yes", "--model", "later"]);
    end(&stage, session, &claude);
    assert!(commands(&stage).contains(&"get later -y".to_owned()));
}

#[test]
fn on_a_terminal_it_asks_whether_to_download_a_missing_model() {
    let got = |stage: &Stage| commands(stage).contains(&"get later -y".to_owned());
    for (answer, code) in [("n\n", 69), ("\x03", 130)] {
        let stage = stage();
        let mut terminal = Terminal::start(stage.lclaude(&["--model", "later"]));
        terminal.wait_for("later is not installed. Download it now?");
        terminal.type_in(answer);
        let shown = terminal.wait_to_the_end(code);
        assert!(!got(&stage) && (code == 130 || shown.contains("help: lms get later")), "{shown}");
        stage.wait_for_nothing_left();
    }
    let stage = stage();
    let mut terminal = Terminal::start(stage.lclaude(&["--model", "later"]));
    terminal.wait_for("Download it now?");
    terminal.type_in("y\n");
    let claude = stage.events.next("claude");
    assert!(got(&stage));
    claude.send(json!({"do": "exit", "code": 0}));
    terminal.wait_to_the_end(0);
    stage.wait_for_nothing_left();
}

#[test]
fn the_context_is_the_one_that_was_granted() {
    let mut stage = stage();
    let (session, claude) = run(&stage, &["--model", "short"]);
    assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "32768", "what the model was trained for");
    end(&stage, session, &claude);
    stage.set("FAKE_LMS_CONTEXT", 40_000);
    let (session, claude) = run(&stage, &[]);
    assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "40000");
    end(&stage, session, &claude);
}

#[test]
fn tiers_have_instances_of_their_own() {
    let stage = stage();
    stage.config("[models]\nhaiku = \"short\"\n");
    let (session, claude) = run(&stage, &[]);
    let tier = |name: &str| claude.env[&format!("ANTHROPIC_DEFAULT_{name}_MODEL")].clone();
    assert_eq!((tier("OPUS"), tier("HAIKU")), ("lclaude/zai-org/glm-4.7-flash".into(), "lclaude/short".into()));
    end(&stage, session, &claude);
}

#[test]
fn its_token_is_honoured_and_never_shown() {
    let mut stage = stage();
    stage.set("FAKE_LMS_TOKEN", "lms-secret").set("LM_API_TOKEN", "lms-secret");
    let (session, claude) = run(&stage, &[]);
    assert_eq!(claude.env["ANTHROPIC_AUTH_TOKEN"], "lms-secret");
    claude.send(json!({"do": "exit", "code": 0}));
    let ended = session.wait().expect(0);
    assert!(!ended.stderr.contains("lms-secret"));
    stage.wait_for_nothing_left();
    let shown: Value = stage.output(&["--dry-run", "-p", "x"]).expect(0).stdout.into();
    assert!(!shown.to_string().contains("lms-secret"));
}

#[test]
fn nobody_who_only_looks_waits_for_one_that_does_not_answer() {
    if has_an_ollama() {
        return;
    }
    let stage = stage();
    let lms = stage.home().join(".lmstudio/bin/lms");
    fs::remove_file(&lms).expect("it was there");
    support::write_program(&lms, b"#!/bin/sh\nexec sleep 1000\n");
    let looking =
        [&["local", "models"][..], &["local", "doctor"]].map(|words| Session::start(&mut stage.lclaude(words)));
    let [models, doctor] = looking.map(Session::wait);
    models.expect_failure(69, &["LM Studio does not answer", "daemon status"]);
    assert!(doctor.expect(1).stdout.contains("LM Studio does not answer"));
    stage.assert_nothing_left();
}

#[test]
fn an_old_or_broken_lm_studio_is_explained() {
    for (variable, value, words) in [
        ("FAKE_LMS_VERSION", "0.3.9+2", ["LM Studio 0.3.9+2 is too old", "0.4.1"]),
        ("FAKE_LMS_FAIL", "load", ["load", "--context"]),
        ("FAKE_LMS_FAIL", "daemon", ["daemon up", "run it by hand"]),
    ] {
        let mut stage = stage();
        stage.set(variable, value);
        let before = state(&stage);
        stage.output(&["-p", "x"]).expect_failure(69, &words);
        assert!(state(&stage).len() <= before.len() + 1, "{:#?}", state(&stage));
    }
    let stage = Stage::with(&["fake-claude"]);
    stage
        .output(&["--backend", "lmstudio", "-p", "x"])
        .expect_failure(69, &["LM Studio was not found", "[lmstudio] path"]);
}
