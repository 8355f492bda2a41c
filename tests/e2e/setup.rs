//! `lclaude local setup` on an empty home, which installs the real llama-server and the real Claude Code, with a scripted
//! model.

use std::fs;

use lclaude_fakes::scripted_model::{self, Script};
use support::{Stage, installers::CLAUDE, lclaude, real, terminal::Terminal};

#[test]
fn setup_goes_from_an_empty_home_to_a_finished_turn() {
    let Some((claude, server)) = real::programs() else { return };
    let stage = Stage::empty();
    scripted_model::write(&stage.model(), &Script::default()).expect("the model is written");
    // The installers are fakes, but they install the real programs.
    stage.program("brew", &stage.package(&server, "llama-server"));
    let script = stage.package(&claude, "claude");
    stage.curl(&[("claude.ai/install.sh", &script)]);
    assert_eq!(fs::read_dir(stage.home()).expect("it is there").count(), 0);

    let mut command = stage.command(lclaude());
    command.args(["local", "setup", "--backend", "llamacpp", "--model", "tiny.gguf"]);
    let mut terminal = Terminal::start(command);
    for line in ["brew install llama.cpp", CLAUDE] {
        terminal.wait_for(&format!("Run `{line}`? [y/N] "));
        terminal.type_in("y\n");
    }
    terminal.wait_for("tool call: tiny calls a tool when asked to");
    terminal.wait_for("The local model wrote proof.txt.");
    terminal.wait_for("Ready. Start a session with: lclaude\r\n");
    terminal.wait_to_the_end(0);
    stage.assert_nothing_left();
    // Only lclaude's own files were written: its configuration and the backend's log.
    let files = stage.home_files();
    let written: Vec<_> = files.keys().collect();
    assert_eq!(written, [&stage.home().join(".config/lclaude/config.toml")]);

    // The suggested command works.
    let mut session = stage.lclaude(&["-p", "create the proof", "--tools", "Bash", "--allowedTools", "Bash"]);
    session.env("SHELL", "/bin/bash");
    let ended = stage.run(session).expect(0);
    assert_eq!(ended.stdout, "The local model wrote proof.txt.\n");
    assert_eq!(stage.proof(), "made-by-local-model\n");
}
