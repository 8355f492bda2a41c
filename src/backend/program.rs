//! Programs of this machine: finding one, saying that it is missing, keeping variables from it, and asking for its version.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use tokio::time::timeout;

use crate::{
    base::{
        error::{Code, Failure},
        pattern::matches,
    },
    config::{Kind, Settings},
};

/// No backend may see these: they are Claude Code's credentials and routing, or ours.
const NEVER_INHERITED: &[&str] = &["ANTHROPIC_*", "CLAUDE*", "LCLAUDE_*"];

/// Keeps from a backend's program what none may see, and `more`.
pub fn conceal(command: &mut std::process::Command, more: impl Fn(&str) -> bool) {
    let never = |name: &str| NEVER_INHERITED.iter().any(|pattern| matches(pattern, name));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| never(name) || more(name)) {
            command.env_remove(name);
        }
    }
}

/// A backend whose program is not there.
pub struct Absent<'a> {
    pub kind: Kind,
    pub program: &'a str,
    pub name: &'a str,
    /// What installs it.
    pub install: String,
    /// Where it was looked for, if the user named no place.
    pub why: String,
}

impl Absent<'_> {
    /// `named`: the place the user named.
    pub fn failure(&self, settings: &Settings, named: Option<&Path>) -> Failure {
        let Absent { kind, program, name, install, why } = self;
        let failure = match named {
            Some(path) => {
                let source = settings.source(&format!("{kind}.path"));
                let failure = Failure::new(Code::Unavailable, format!("no {program} at {}", path.display()));
                if path.is_file() {
                    failure
                        .why(format!("{source} names it, and it is not executable"))
                        .help(format!("chmod +x {}", path.display()))
                } else {
                    failure.why(format!("{source} names it, and it is missing or not executable"))
                }
            }
            None => Failure::new(Code::Unavailable, format!("{name} was not found")).why(why),
        };
        failure.help(install).help(format!("or set [{kind}] path = \"/path/to/{program}\""))
    }
}

/// The canonical path of the program the user named, or else of `name` on PATH.
pub fn find(named: Option<&Path>, name: &str) -> Option<PathBuf> {
    let found = match named {
        Some(path) => which::which(path),
        None => which::which(name),
    };
    found.ok()?.canonicalize().ok()
}

/// The slowest answer seen was Claude Code's on a busy machine, with two seconds.
const LIMIT: Duration = Duration::from_secs(10);

/// `None`: it did not end in time.
pub async fn ask(program: &Path, argument: &str) -> io::Result<Option<Output>> {
    // Not where the user is: llama-server loads libraries that it finds in the working directory, and a repository could
    // have some.
    let mut command = tokio::process::Command::new(std::path::absolute(program)?);
    command.current_dir("/").arg(argument).stdin(Stdio::null()).kill_on_drop(true);
    // As a backend never sees them either; its own variables could make it do something else than tell its version.
    conceal(command.as_std_mut(), |name| name.starts_with("LLAMA_"));
    // Nobody's, or the version told would be that of a server.
    command.env("OLLAMA_HOST", "127.0.0.1:1");
    match timeout(LIMIT, command.output()).await {
        Ok(output) => output.map(Some),
        Err(_) => Ok(None),
    }
}

/// The first number with dots in what it said.
pub fn version(output: &Output) -> Option<String> {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let is_version = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    let mut words = said.split_whitespace().map(|word| word.trim_start_matches('v').trim_end_matches([',', ')']));
    words.find(is_version).map(str::to_owned)
}
