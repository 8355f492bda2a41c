//! A stage with the real Claude Code, the real llama-server and a scripted model.

use std::{env, os::unix::fs::symlink, path::PathBuf, process::Command};

use lclaude_fakes::scripted_model::{self, Script};

use super::{Ended, Stage, machine::needs, terminal::Terminal};

/// A stage with the real programs on PATH, or `None` if they are missing.
#[track_caller]
pub fn stage(script: &Script) -> Option<Stage> {
    let (claude, server) = programs()?;
    let mut stage = Stage::bare();
    // As people see it: without colors Claude Code moves the cursor instead of writing spaces.
    stage.unset("NO_COLOR");
    symlink(claude, stage.bin().join("claude")).expect("a link");
    symlink(server, stage.bin().join("llama-server")).expect("a link");
    scripted_model::write(&stage.model(), script).expect("the model is written");
    Some(stage)
}

/// The paths of the real Claude Code and llama-server, from their environment variables.
#[track_caller]
pub fn programs() -> Option<(PathBuf, PathBuf)> {
    let program = |variable: &str| {
        let path = env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
        assert!(path.as_ref().is_none_or(|path| path.exists()), "{variable} is not the path of a file: {path:?}");
        path
    };
    let both = program("LCLAUDE_E2E_CLAUDE").zip(program("LCLAUDE_E2E_LLAMA_SERVER"));
    let what = "the real Claude Code and llama-server: ./shell/test.sh gets them, and runs this";
    if needs(what, both.is_some()) { both } else { None }
}

impl Stage {
    /// The command for lclaude with the scripted model and one tool. The prompt for all tools would take minutes.
    pub fn with_bash(&self, arguments: &[&str]) -> Command {
        let mut command = self.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf"]);
        command.args(arguments).args(["--tools", "Bash", "--allowedTools", "Bash"]);
        command
    }

    pub fn run(&self, mut command: Command) -> Ended {
        Ended::of(&mut command)
    }

    pub fn proof(&self) -> String {
        std::fs::read_to_string(self.project().join("proof.txt")).unwrap_or_default()
    }
}

/// Waits until an interactive Claude Code takes a prompt. Keys typed before the whole screen is drawn are lost.
#[track_caller]
pub fn wait_for_prompt(terminal: &Terminal) {
    terminal.wait_for_window(takes_prompt);
}

/// Returns whether the interactive Claude Code that shows these lines takes a prompt.
pub fn takes_prompt(lines: &[String]) -> bool {
    let shows = |text: &str| lines.iter().any(|line| line.contains(text));
    shows("manual mode on") && !shows("esc to interrupt")
}

/// Has an interactive Claude Code create the proof, quits it, and returns everything that was printed.
pub fn create_proof_and_quit(mut terminal: Terminal) -> String {
    terminal.wait_for("Claude Code");
    terminal.wait_for("tiny");
    wait_for_prompt(&terminal);
    terminal.type_in("create the proof");
    terminal.wait_for("proof");
    terminal.type_in("\r");
    terminal.wait_for("wrote");
    // While the turn lasts, Ctrl-C interrupts it.
    wait_for_prompt(&terminal);
    terminal.type_in("/cost");
    terminal.wait_for("/cost");
    terminal.type_in("\r");
    // Claude Code would invent a price for an unknown model.
    terminal.wait_for("$0.0000");
    terminal.type_in("\x1b");
    wait_for_prompt(&terminal);
    terminal.type_in("\x03");
    // Claude Code asks for a second Ctrl-C.
    terminal.wait_for("again");
    terminal.type_in("\x03");
    terminal.wait_to_the_end(0)
}
