//! Finding the real Claude Code.

use crate::base::environment::Environment;
use crate::base::variables::{DEPTH, Variables};
use std::{
    env, fs,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    base::error::{Code, Failure, Result},
    config::Settings,
};

/// More are no agents that start agents, but a `claude` that starts us, in a way that [`is_lclaude`] does not see.
const DEEPEST: u32 = 8;
/// Bytes of a script that are read; a longer one is more than a shim.
const LONGEST_SCRIPT: u64 = 64 * 1024;

/// Where its installers put it, besides PATH; under the home directory.
const USUAL: &[&str] = &[".local/bin/claude", ".claude/local/claude"];

/// Its own installer.
const SCRIPT: &str = "curl -fsSL https://claude.ai/install.sh | bash";
pub const NPM: &str = "npm install -g @anthropic-ai/claude-code";

/// The command lines that can install it on this very machine, the official one first.
pub fn ways() -> Vec<String> {
    let ways = [("curl", SCRIPT), ("npm", NPM)];
    ways.into_iter().filter(|(program, _)| which::which(program).is_ok()).map(|(_, line)| line.to_owned()).collect()
}

/// `[claude] path`, else the first `claude` on PATH or in its usual places that is not lclaude under another name.
///
/// # Errors
/// `NoClaude`.
pub fn find(settings: &Settings, environment: &Environment) -> Result<PathBuf> {
    let own = env::current_exe().and_then(|path| path.canonicalize()).ok();
    if let Some(path) = &settings.claude.path {
        let failed = |why: String| {
            Failure::new(Code::NoClaude, format!("no Claude Code at {}", path.display()))
                .why(format!("{} names it: {why}", settings.source("claude.path")))
                .help("correct [claude] path, or remove it to have PATH searched")
        };
        return match which::which(path) {
            Ok(found) if is_lclaude(&found, own.as_deref()) => Err(failed("it is lclaude itself".into())),
            Ok(found) => Ok(found),
            Err(_) if path.is_file() => {
                Err(failed("it is not executable".into()).help(format!("chmod +x {}", path.display())))
            }
            Err(error) => Err(failed(format!("{error}, or it is not executable"))),
        };
    }
    let on_path = which::which_all("claude").into_iter().flatten();
    let usual = USUAL.iter().map(|place| environment.home().join(place)).filter_map(|path| which::which(path).ok());
    let mut passed_over = None;
    for path in on_path.chain(usual) {
        if is_lclaude(&path, own.as_deref()) {
            passed_over = Some(path);
        } else {
            return Ok(path);
        }
    }
    Err(Failure::new(Code::NoClaude, "Claude Code was not found")
        .why(match passed_over {
            Some(path) => format!("{} is lclaude itself, and there is no other `claude` on PATH", path.display()),
            None => "there is no `claude` on PATH, in ~/.local/bin or in ~/.claude/local".into(),
        })
        .help(NPM)
        .help(format!("or {SCRIPT}"))
        .help("or set [claude] path = \"/path/to/claude\""))
}

/// How deep a session that is started now will be.
///
/// # Errors
/// `NoClaude` where that is deeper than can be meant.
pub fn depth(program: &Path, variables: &Variables) -> Result<u32> {
    let depth = variables.text(DEPTH).and_then(|depth| depth.parse().ok()).unwrap_or(0);
    if depth < DEEPEST {
        return Ok(depth + 1);
    }
    Err(Failure::new(Code::NoClaude, format!("{} leads back to lclaude", program.display()))
        .why(format!("this would be the {}th lclaude, each started by the one before", depth + 1))
        .help("set [claude] path = \"/path/to/the/real/claude\"")
        .help(format!("if they are meant: unset {DEPTH}")))
}

/// A link to us, or a script that runs us.
fn is_lclaude(path: &Path, own: Option<&Path>) -> bool {
    if own.is_some() && path.canonicalize().ok().as_deref() == own {
        return true;
    }
    if own.is_some_and(|own| is_copy(path, own)) {
        return true;
    }
    let mut text = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(LONGEST_SCRIPT).read_to_end(&mut text));
    read.is_ok() && text.starts_with(b"#!") && runs_lclaude(&String::from_utf8_lossy(&text))
}

/// Whether a script has our name as a word, alone or at the end of a path, outside of its comments.
fn runs_lclaude(script: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || "-_.".contains(character);
    let lines = script.lines().filter(|line| !line.trim_start().starts_with('#'));
    let has_word = |line: &str| {
        line.match_indices("lclaude").any(|(at, name)| {
            let (before, after) = (&line[..at], &line[at + name.len()..]);
            !before.ends_with(is_part) && !after.starts_with(|next| is_part(next) || next == '/')
        })
    };
    lines.into_iter().any(has_word)
}

/// Byte for byte the same program: a copy, or a hard link. Lengths differ for any other, so this is seldom more than two
/// calls.
fn is_copy(path: &Path, own: &Path) -> bool {
    let length = |path: &Path| fs::metadata(path).map(|meta| meta.len()).ok();
    length(path).is_some_and(|found| Some(found) == length(own))
        && fs::read(path).is_ok_and(|found| fs::read(own).is_ok_and(|own| own == found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_runs_us_is_told_from_one_that_only_has_our_name_in_it() {
        for script in ["exec lclaude \"$@\"", "~/bin/lclaude -c", "if true; then \"/opt/lclaude\"; fi", "lclaude"] {
            assert!(runs_lclaude(script), "{script}");
        }
        for script in ["# not lclaude", "exec ~/lclaude-tools/claude", "/src/lclaude/claude", "mylclaude", "lclaude.sh"]
        {
            assert!(!runs_lclaude(script), "{script}");
        }
    }
}
