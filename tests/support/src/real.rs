//! The stage with the real programs: Claude Code, llama-server, and the scripted model.

use std::{env, os::unix::fs::symlink, path::PathBuf, process::Command};

use lclaude_fakes::scripted_model::{self, Script};

use super::{Ended, Stage};

/// A stage with the real programs on PATH. `None`, with a word on why, where they are missing; in CI they may not be.
pub fn stage(script: &Script) -> Option<Stage> {
    let (Some(claude), Some(server)) = (program("LCLAUDE_E2E_CLAUDE"), program("LCLAUDE_E2E_LLAMA_SERVER")) else {
        skipped();
        return None;
    };
    let stage = Stage::bare();
    symlink(claude, stage.bin().join("claude")).expect("a link");
    symlink(server, stage.bin().join("llama-server")).expect("a link");
    scripted_model::write(&stage.model(), script).expect("the model is written");
    Some(stage)
}

pub fn skipped() {
    eprintln!("skipped: the real Claude Code and llama-server are missing; ./shell/test.sh gets them and runs this");
}

/// One of the real programs, by the variable that has its path.
pub fn program(variable: &str) -> Option<PathBuf> {
    let path = env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    assert!(path.is_some() || env::var_os("CI").is_none(), "{variable} is not set, and CI runs every test");
    path
}

impl Stage {
    /// lclaude on the scripted model with one tool. (All tools would take the tiny model's byte-sized tokens minutes.)
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
