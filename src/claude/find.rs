//! Finds the real Claude Code.

use std::{
    env, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    base::{
        disk,
        environment::Environment,
        error::{Code, Failure, Result},
        programs, spawn,
        variables::{DEPTH, Variables},
        windows,
    },
    config::Settings,
};

/// Maximum nesting of lclaude. Deeper nesting means a `claude` that starts lclaude in a way that [`is_lclaude`] doesn't
/// detect, rather than agents that start agents.
const MAX_DEPTH: u32 = 8;
/// Bytes to read of a script; a shim is shorter.
const MAX_SCRIPT: u64 = 64 * 1024;

const NAME: &str = "claude";

/// Where installers put `claude`, relative to the home directory; searched after PATH and the directories of package
/// managers.
const INSTALL_PATHS: &[&str] = &[".local/bin/claude", ".claude/local/claude"];

/// The official installer.
const INSTALL_SCRIPT: &str = "curl -fsSL https://claude.ai/install.sh | bash";
pub(crate) const NPM_INSTALL: &str = "npm install -g @anthropic-ai/claude-code";

/// What a Windows program does when WSL starts it.
const WITHOUT_ROUTING: &str = "it gets no variables from WSL, so it would send your code to Anthropic";
const INSTALL_INSIDE_WSL: &str = "curl -fsSL https://claude.ai/install.sh | bash  # inside WSL";

/// Returns the commands that can install Claude Code on this machine, the official one first.
pub(crate) fn install_commands() -> Vec<String> {
    let ways = [("curl", INSTALL_SCRIPT), ("npm", NPM_INSTALL)];
    ways.into_iter()
        .filter(|(program, _)| windows::is_native_on_path(program))
        .map(|(_, line)| line.to_owned())
        .collect()
}

/// Returns `[claude] path`, or else the first `claude` on PATH or in an install path that is neither lclaude itself nor a
/// Windows program.
///
/// # Errors
/// `NoClaude` without one.
pub(crate) fn find(settings: &Settings, environment: &Environment) -> Result<PathBuf> {
    let own = env::current_exe().ok();
    if let Some(path) = &settings.claude.path {
        let failed = |why: String| {
            Failure::new(Code::NoClaude, format!("no Claude Code at {}", path.display()))
                .cause(format!("{} sets this path, but {why}", settings.source("claude.path")))
                .help("fix [claude] path, or remove it to search PATH")
        };
        return match which::which(path) {
            Ok(found) if is_lclaude(&found, own.as_deref()) => Err(failed("it is lclaude itself".into())),
            Ok(found) if windows::is_windows_program(&found) => {
                Err(failed(format!("it is a Windows program; {WITHOUT_ROUTING}")).help(INSTALL_INSIDE_WSL))
            }
            Ok(found) => Ok(found),
            Err(_) if path.is_file() => {
                let (why, help) = spawn::not_executable(path);
                Err(failed(format!("it {why}")).help(help))
            }
            Err(_) => Err(failed("it does not exist or is not a file".into())),
        };
    }
    let mut skipped = None;
    for path in programs::find_all(NAME).chain(installed(environment)) {
        if is_lclaude(&path, own.as_deref()) {
            skipped.get_or_insert(path);
        } else if !windows::is_windows_program(&path) {
            return Ok(path);
        }
    }
    if let Some(path) = on_windows(environment) {
        return Err(Failure::new(Code::NoClaude, "Claude Code is not installed in WSL")
            .cause(format!("{} is a Windows program; {WITHOUT_ROUTING}", path.display()))
            .help(INSTALL_INSIDE_WSL)
            .help("lclaude local config set claude.path /path/to/claude"));
    }
    let failure = Failure::new(Code::NoClaude, "Claude Code was not found").cause(match skipped {
        Some(path) => format!("{} is lclaude itself, and no other `claude` is on PATH", path.display()),
        None => "no `claude` is on PATH, in ~/.local/bin or in ~/.claude/local".into(),
    });
    // The npm of Windows would install a Windows program.
    let is_windows_npm = which::which("npm").is_ok_and(|npm| windows::is_windows_program(&npm));
    let failure = if is_windows_npm { failure } else { failure.help(NPM_INSTALL) };
    Err(failure.help(INSTALL_SCRIPT).help("lclaude local config set claude.path /path/to/claude"))
}

/// Returns a Claude Code that is a Windows program. Sessions never use it.
pub(crate) fn on_windows(environment: &Environment) -> Option<PathBuf> {
    let installed = installed(environment).filter(|path| windows::is_windows_program(path));
    windows::programs(NAME).chain(installed).next()
}

/// Returns the programs that installers put into the home directory.
fn installed(environment: &Environment) -> impl Iterator<Item = PathBuf> {
    INSTALL_PATHS.iter().filter_map(|place| which::which(environment.home().join(place)).ok())
}

/// Returns the failure for a Claude Code that the system couldn't start.
pub(crate) fn not_started(program: &Path, error: &io::Error) -> Failure {
    let failure = spawn::not_started(Code::NoClaude, program, error);
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EACCES | libc::ENOEXEC) => {
            failure.help(format!("{NPM_INSTALL}  # reinstalls Claude Code"))
        }
        _ => failure,
    }
}

/// Returns the nesting depth of a session started now, at least 1.
///
/// # Errors
/// `NoClaude` if it would exceed [`MAX_DEPTH`].
pub(crate) fn depth(program: &Path, variables: &Variables) -> Result<u32> {
    let depth = variables.text(DEPTH).and_then(|depth| depth.parse().ok()).unwrap_or(0);
    if depth < MAX_DEPTH {
        return Ok(depth + 1);
    }
    Err(Failure::new(Code::NoClaude, format!("{} starts lclaude again", program.display()))
        .cause(format!("lclaude is already nested {depth} levels deep"))
        .help("lclaude local config set claude.path /path/to/the/real/claude")
        .help(format!("unset {DEPTH}  # if the nesting is intended")))
}

/// Whether `path` is lclaude under another name: a link, a copy, or a script that runs it.
fn is_lclaude(path: &Path, own: Option<&Path>) -> bool {
    own.is_some_and(|own| is_link_or_copy(path, own))
        || read_script(path).is_ok_and(|script| script.is_some_and(|script| runs_lclaude(&script)))
}

/// Returns the text of a script, or `None` if the file is another program.
fn read_script(path: &Path) -> io::Result<Option<String>> {
    let mut file = fs::File::open(path)?;
    let mut text = vec![0; 2];
    file.read_exact(&mut text)?;
    if text != b"#!" {
        return Ok(None);
    }
    file.take(MAX_SCRIPT).read_to_end(&mut text)?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// Whether a script has `lclaude` outside its comments, as a word or as the last part of a path.
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

/// Whether both paths lead to the same file, or to files with the same content. Lengths are compared first, so other
/// programs are rarely read.
fn is_link_or_copy(path: &Path, own: &Path) -> bool {
    let (Ok(found), Ok(ours)) = (fs::metadata(path), fs::metadata(own)) else {
        return false;
    };
    disk::is_same(&found, &ours)
        || found.len() == ours.len() && fs::read(path).is_ok_and(|found| fs::read(own).is_ok_and(|own| own == found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_script_that_runs_lclaude_counts_as_lclaude() {
        for script in ["exec lclaude \"$@\"", "~/bin/lclaude -c", "if true; then \"/opt/lclaude\"; fi", "lclaude"] {
            assert!(runs_lclaude(script), "{script}");
        }
        for script in ["# not lclaude", "exec ~/lclaude-tools/claude", "/src/lclaude/claude", "mylclaude", "lclaude.sh"]
        {
            assert!(!runs_lclaude(script), "{script}");
        }
    }
}
