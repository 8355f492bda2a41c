//! The commands that messages about Ollama suggest work as they are, although no Ollama server is running.

use std::{fs, os::unix::fs::symlink, process::Command};

use support::{Ended, Fake, Session, Stage, finish, json, lclaude, messages, ollama::shared};

/// A stage with lclaude on PATH.
fn stage() -> Stage {
    let stage = Stage::ollama();
    symlink(lclaude(), stage.bin().join("lclaude")).expect("a link");
    stage
}

/// Returns the help of a failed session that contains `text`.
#[track_caller]
fn help(stage: &Stage, model: &str, code: i32, text: &str) -> String {
    let ended = stage.on(model, &[]).wait().expect(code);
    stage.events.rest();
    let mut helps = ended.stderr.lines().filter_map(|line| line.trim_start().strip_prefix("help: "));
    helps.find(|help| help.contains(text)).unwrap_or_else(|| panic!("no {text:?} in {ended:#?}")).to_owned()
}

fn shell(stage: &Stage, script: &str) -> Command {
    let mut shell = stage.command("/bin/sh");
    shell.args(["-c", script]).stdin(std::process::Stdio::null());
    shell
}

/// Runs a command that starts neither a model nor Claude Code, and returns its output.
#[track_caller]
fn runs(stage: &Stage, script: &str) -> Ended {
    let ended = stage.ended(&mut shell(stage, script)).expect(0);
    assert!(stage.events.rest().iter().all(|fake| fake.who == "ollama"), "a model or Claude Code was started");
    ended
}

/// Runs a command whose last step is a session, which must get the context that lclaude asks for, and ends it.
#[track_caller]
fn starts_session(stage: &Stage, script: &str) {
    let session = Session::start(&mut shell(stage, script));
    let claude: Fake = stage.events.next("claude");
    assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "65536");
    finish(session, &claude);
    stage.events.rest();
}

#[test]
fn missing_model_can_be_downloaded() {
    let stage = stage();
    let only = help(&stage, "far:1b", 69, "only downloads it");
    runs(&stage, &only);
    let (session, claude, _backend) = stage.up("far:1b");
    finish(session, &claude);
    stage.events.rest();
    let stage = self::stage();
    starts_session(&stage, &help(&stage, "far:1b", 69, "--yes"));
}

#[test]
fn installed_models_are_listed() {
    let stage = stage();
    for (model, code) in [("glm:cloud", 77), ("/tmp/x", 64)] {
        let listed = runs(&stage, &help(&stage, model, code, "lclaude local models"));
        assert!(listed.stdout.contains("small:latest"), "{listed:#?}");
    }
}

#[test]
fn interrupted_download_is_resumed() {
    let mut stage = stage();
    stage.set("FAKE_OLLAMA_PULL", "offline");
    let ended = stage.on("far:1b", &["--yes"]).wait().expect(69);
    let resume = ended.stderr.lines().find_map(|line| line.trim_start().strip_prefix("help: ")).expect("a help");
    assert!(resume.ends_with("# resumes the download"), "{resume}");
    stage.set("FAKE_OLLAMA_PULL", "");
    stage.events.rest();
    let resume = format!("unset FAKE_OLLAMA_PULL; {resume}");
    runs(&stage, &resume);
}

#[test]
fn damaged_model_is_downloaded_again() {
    let stage = stage();
    let file = stage.home().join(".ollama/models/fake-models.json");
    fs::write(&file, r#"[{"name": "small:latest", "damaged": true}]"#).expect("a file");
    starts_session(&stage, &help(&stage, "small", 69, "ollama rm"));
}

#[test]
fn model_with_a_small_context_is_copied() {
    let stage = stage();
    starts_session(&stage, &help(&stage, "cramped", 69, "ollama create"));
}

#[test]
fn context_of_a_shared_server_is_overridden_by_a_copy() {
    let (stage, own) = shared(&[("OLLAMA_CONTEXT_LENGTH", "4096")]);
    symlink(lclaude(), stage.bin().join("lclaude")).expect("a link");
    starts_session(&stage, &help(&stage, "small", 69, "ollama create"));
    assert!(own.loaded().is_empty());
}

#[test]
fn model_that_can_call_tools_is_downloaded() {
    let stage = stage();
    let file = stage.home().join(".ollama/models/fake-models.json");
    let models = json!([
        {"name": "talker:latest", "capabilities": ["completion"]},
        {"name": "glm-4.7-flash:latest", "installed": false},
    ]);
    fs::write(&file, models.to_string()).expect("a file");
    starts_session(&stage, &help(&stage, "talker", 69, "downloads a model that can"));
}

#[test]
fn other_sessions_are_shown_if_memory_is_short() {
    let mut stage = stage();
    stage.set("FAKE_OLLAMA_FAIL", "oom");
    let status = help(&stage, "small", 69, "lclaude local status");
    runs(&stage, &status);
}

#[test]
fn own_client_needs_no_model() {
    messages!();
    let mut stage = stage();
    // Neither the default model nor a configured one has to be installed, and no download is offered.
    stage.config("model = \"nothing:1b\"\n");
    stage.set("OLLAMA_HOST", "127.0.0.1:1");
    let listed = runs(&stage, "lclaude local run -- ollama list");
    assert!(listed.stdout.contains("small:latest") && !listed.stderr.contains("installed"), "{listed:#?}");
    let ended = stage.ended(&mut shell(&stage, "lclaude local run -- ollama pull nothing:1b"));
    assert_eq!((ended.code, ended.stderr.contains("file does not exist")), (Some(1), true), "{ended:#?}");
    stage.events.rest();
    stage.output(&["local", "run", "--dry-run", "--", "ollama", "list"]).expect(0).record();
    stage.wait_for_nothing_left();
}

#[test]
fn programs_find_the_server_of_the_session() {
    let mut stage = stage();
    stage.set("OLLAMA_HOST", "127.0.0.1:1");
    let script = "lclaude local run --model small -- sh -c 'echo $OLLAMA_HOST $ANTHROPIC_BASE_URL; ollama ps'";
    let ended = stage.ended(&mut shell(&stage, script)).expect(0);
    let urls: Vec<&str> = ended.stdout.lines().next().expect("a line").split(' ').collect();
    assert_eq!(urls[0], urls[1]);
    assert!(ended.stdout.ends_with("\nsmall:latest\n"), "{ended:#?}");
    // Claude Code's own commands reach the server that the user chose.
    stage.events.rest();
    let (session, claude, _backend) = stage.up("small");
    assert_eq!(claude.env["OLLAMA_HOST"], "127.0.0.1:1");
    finish(session, &claude);
}

#[test]
fn own_client_changes_nothing_in_a_shared_server() {
    let (stage, own) = shared(&[]);
    let listed = stage.output(&["local", "run", "--", "ollama", "list"]).expect(0);
    assert!(listed.stdout.contains("small:latest"), "{listed:#?}");
    assert!(own.loaded().is_empty() && stage.events.rest().is_empty());
}
