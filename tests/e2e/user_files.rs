//! The real Claude Code saves its choices in the user's files, and finds only the backend's models.

use std::fs;

use support::{
    Stage, json, real,
    requests::{SETTINGS, lived_in, quit},
    terminal::Terminal,
    until,
};

/// Starts an interactive session and runs one of Claude Code's commands in it.
fn run_in_session(stage: &Stage, options: &[&str], command: &str) -> Terminal {
    let mut lclaude = stage.command(support::lclaude());
    lclaude.args(options);
    let mut terminal = Terminal::start(lclaude);
    real::wait_for_prompt(&terminal);
    terminal.type_in(command);
    // Spaces are drawn as movements of the cursor.
    terminal.wait_for(command.rsplit(' ').next().expect("a word"));
    terminal.type_in("\r");
    terminal
}

#[test]
fn chosen_model_and_flags_do_not_outlive_the_session() {
    let Some(stage) = lived_in() else { return };
    let settings = || fs::read_to_string(stage.home().join(".claude/settings.json")).expect("a file");
    let mut terminal = run_in_session(&stage, &[], "/model haiku");
    terminal.wait_for("saved");
    assert!(settings().contains("haiku"), "{}", settings());
    quit(terminal);
    assert_eq!(settings(), SETTINGS);
    let state = fs::read_to_string(stage.home().join(".claude.json")).expect("a file");
    assert!(!state.contains("officialMarketplace") && !state.contains("migrationVersion"), "{state}");
}

/// An agent that pins one of Claude's models, known to this Claude Code or not, gets the session's.
#[test]
fn pinned_models_reach_the_backend_as_its_own() {
    let Some(stage) = lived_in() else { return };
    for pinned in ["claude-sonnet-4-5-20250929", "claude-haiku-4-5", "claude-opus-99", "gpt-5"] {
        let agents = json!({"pinned": {"description": "x", "prompt": "x", "model": pinned}}).to_string();
        let ended = stage.output(&["--agents", &agents, "--agent", "pinned", "-p", "hello"]);
        let sent = fs::read_to_string(stage.root().join("requests")).expect("requests");
        assert!(sent.contains("\"model\":\"m\"") && !sent.contains(&format!("\"model\":\"{pinned}\"")), "{ended:#?}");
    }
}

/// `/status` and a start run npm, which logs to the home directory and creates its cache there.
#[test]
fn npm_leaves_nothing_of_a_throwaway_session() {
    let Some(stage) = lived_in() else { return };
    let ran = stage.root().join("npm-ran");
    let script = format!(
        "cache=${{npm_config_cache:-$HOME/.npm}}; logs=${{npm_config_logs_dir:-$cache/_logs}}\n\
         mkdir -p \"$cache\" \"$logs\"; pwd > \"$logs/1.log\"; echo /usr; touch {}",
        ran.display()
    );
    stage.script("npm", &script);
    let before = stage.home_snapshot();
    let terminal = run_in_session(&stage, &["--throwaway"], "/status");
    until("npm ran", || ran.exists());
    terminal.type_in("\x1b");
    real::wait_for_prompt(&terminal);
    quit(terminal);
    stage.assert_home_is(&before);
}
