//! The first request of a conversation with the real Claude Code, recorded by a server that rejects it.

use std::fs;

use serde_json::{Deserializer, Value, json};

use super::{Stage, real, terminal::Terminal, throwaway::endpoint};
use lclaude_fakes::scripted_model::Script;

/// The user's settings on the stage of [`lived_in`].
pub const SETTINGS: &str = "{\"model\": \"opus\",  \"theme\": \"dark\"}";

/// Returns a stage whose user has used Claude Code in the project, with a server that records requests, or `None`
/// without the real programs.
#[track_caller]
pub fn lived_in() -> Option<Stage> {
    let stage = real::stage(&Script::default())?;
    let url = endpoint(Some(stage.root().join("requests")));
    stage.config(&format!("backend = \"endpoint\"\nmodel = \"m\"\n[endpoint]\nurl = \"{url}\"\n"));
    let project = stage.project().display().to_string();
    let state = json!({"hasCompletedOnboarding": true, "projects": {project: {"hasTrustDialogAccepted": true}}});
    fs::write(stage.home().join(".claude.json"), state.to_string()).expect("a file");
    fs::create_dir(stage.home().join(".claude")).expect("a directory");
    fs::write(stage.home().join(".claude/settings.json"), SETTINGS).expect("a file");
    Some(stage)
}

/// Returns the first request that was recorded, and forgets all.
pub fn first(stage: &Stage) -> Value {
    let file = stage.root().join("requests");
    let sent = fs::read(&file).expect("requests");
    fs::remove_file(file).expect("a file");
    let mut requests = Deserializer::from_slice(&sent).into_iter::<Value>();
    let conversation = |request: &Value| request["tools"].as_array().is_some_and(|tools| !tools.is_empty());
    requests.find_map(|request| request.ok().filter(conversation)).expect("a request with tools")
}

/// Returns the first request of print mode.
pub fn printed(stage: &Stage, options: &[&str]) -> Value {
    stage.output(&[options, &["-p", "hello"]].concat());
    first(stage)
}

/// Returns the first request of a session in a terminal.
pub fn typed(stage: &Stage, options: &[&str]) -> Value {
    let mut terminal = Terminal::start(stage.lclaude(options));
    real::wait_for_prompt(&terminal);
    terminal.type_in("hello");
    terminal.wait_for("hello");
    terminal.type_in("\r");
    terminal.wait_for("400");
    real::wait_for_prompt(&terminal);
    quit(terminal);
    first(stage)
}

/// Ends an interactive Claude Code.
pub fn quit(mut terminal: Terminal) {
    terminal.type_in("\x03");
    terminal.wait_for("again");
    terminal.type_in("\x03");
    assert_eq!(terminal.wait(), Some(0));
}
