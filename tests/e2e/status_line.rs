//! The status line in the real Claude Code, while the real llama-server reads a prompt.

use std::fs;

use lclaude_fakes::scripted_model::Script;
use rustix::process::Signal;
use support::{json, kill, real, terminal::Terminal};

#[test]
fn status_line_follows_a_request() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    let project = stage.project().display().to_string();
    let state = json!({"hasCompletedOnboarding": true, "projects": {project: {"hasTrustDialogAccepted": true}}});
    fs::write(stage.home().join(".claude.json"), state.to_string()).expect("a file");
    let own = stage.home().join(".claude/settings.json");
    fs::create_dir(stage.home().join(".claude")).expect("a directory");
    let settings = json!({"statusLine": {"type": "command", "command": "echo my own line"}}).to_string();
    fs::write(&own, &settings).expect("a file");

    // All tools, whose prompt takes long to read.
    let mut command = stage.command(support::lclaude());
    command.args(["--backend", "llamacpp", "--model", "tiny.gguf", "--toolset", "all"]);
    let mut terminal = Terminal::start(command);
    real::wait_for_prompt(&terminal);
    let shows = |text: &'static str| {
        move |lines: &[String]| {
            let ours = lines.iter().position(|line| line.trim().starts_with("local · tiny · "));
            ours.is_some_and(|ours| lines[ours].contains(text) && lines[ours - 1].trim() == "my own line")
        }
    };
    terminal.wait_for_window(shows("65k context"));
    terminal.type_in("create the proof");
    terminal.wait_for("proof");
    terminal.type_in("\r");
    terminal.wait_for_window(shows("reading"));
    // It asks for permission to run the command.
    terminal.wait_for("Yes");
    terminal.type_in("\r");
    terminal.wait_for("wrote");
    real::wait_for_prompt(&terminal);
    // The second request found the first one in the cache.
    terminal.wait_for_window(shows("/65k · cache 9"));
    terminal.type_in("\x03");
    terminal.wait_for("again");
    terminal.type_in("\x03");
    terminal.wait_to_the_end(0);
    assert_eq!(stage.proof(), "made-by-local-model\n");
    assert_eq!(fs::read_to_string(&own).expect("a file"), settings);
    stage.assert_nothing_left();
}

/// What lclaude relies on to run a project's own command.
#[test]
fn status_line_of_a_project_does_not_run_in_an_untrusted_folder() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    fs::write(stage.home().join(".claude.json"), "{\"hasCompletedOnboarding\": true}").expect("a file");
    let ran = stage.root().join("ran");
    let own = json!({"statusLine": {"type": "command", "command": format!("touch {}", ran.display())}});
    fs::create_dir(stage.project().join(".claude")).expect("a directory");
    fs::write(stage.project().join(".claude/settings.json"), own.to_string()).expect("a file");

    let mut command = stage.command(support::lclaude());
    command.args(["--backend", "llamacpp", "--model", "tiny.gguf", "--tools", "Bash"]);
    let terminal = Terminal::start(command);
    terminal.wait_for_window(|lines| lines.iter().any(|line| line.contains("Yes, I trust this folder")));
    kill(terminal.pid(), Signal::TERM);
    assert_eq!(terminal.wait(), Some(143));
    assert!(!ran.exists());
    stage.assert_nothing_left();
}
