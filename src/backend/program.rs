//! Finds programs, reports missing ones, filters their environment and runs them for their version.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};

use crate::{
    base::{
        error::{Code, Failure},
        limits,
        output::{MAX_OUTPUT, output},
        paths,
        pattern::matches,
        programs,
        spawn::not_executable,
        windows,
    },
    config::{Kind, Settings},
};

/// Variables with credentials and routing of Claude Code and lclaude, which no backend may see.
const NEVER_PASSED_ON: &[&str] = &["ANTHROPIC_*", "CLAUDE*", "LCLAUDE_*"];

/// Removes from a command's environment what no backend may see, and what `more` matches.
pub(crate) fn remove_variables(command: &mut std::process::Command, more: impl Fn(&str) -> bool) {
    let never = |name: &str| NEVER_PASSED_ON.iter().any(|pattern| matches(pattern, name));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| never(name) || more(name)) {
            command.env_remove(name);
        }
    }
}

/// Why a Windows program can't be a backend.
pub(crate) const NOT_OURS: &str = "WSL passes it no variables, and lclaude could not end it";

/// A program that was not found.
pub(crate) struct MissingProgram<'a> {
    pub kind: Kind,
    pub program: &'a str,
    pub name: &'a str,
    /// The install command.
    pub install: String,
    /// The cause if no path is configured.
    pub why: String,
}

impl MissingProgram<'_> {
    /// Returns the failure. `named` is the configured path.
    pub(crate) fn failure(&self, settings: &Settings, named: Option<&Path>) -> Failure {
        let MissingProgram { kind, program, name, install, why } = self;
        let failure = match named {
            Some(path) => {
                let source = settings.source(&format!("{kind}.path"));
                let failure = Failure::new(Code::Unavailable, format!("no {program} at {}", path.display()));
                if windows_program(named, program).is_some() {
                    failure.cause(format!("{source} sets this path, but it is a Windows program: {NOT_OURS}"))
                } else if path.is_file() {
                    let (why, help) = not_executable(path);
                    failure.cause(format!("{source} sets this path, but it {why}")).help(help)
                } else {
                    failure.cause(format!("{source} sets this path, but it is missing or not executable"))
                }
            }
            None => match windows_program(None, program) {
                Some(path) => Failure::new(Code::Unavailable, format!("{name} is not installed in WSL"))
                    .cause(format!("{} is a Windows program: {NOT_OURS}", path.display())),
                None => Failure::new(Code::Unavailable, format!("{name} was not found")).cause(why),
            },
        };
        failure.help(install).help(format!("lclaude local config set {kind}.path /path/to/{program}"))
    }
}

/// Returns the absolute path of the configured program `named`, or else of `name` on PATH or in a usual place. Links are
/// kept, since a program may look at its own name, as version managers' shims and the interpreters of virtual environments
/// do.
///
/// Windows programs are left out; [`windows_program`] returns them.
pub(crate) fn find(named: Option<&Path>, name: &str) -> Option<PathBuf> {
    let found = match named {
        Some(path) => which::which(path).ok().filter(|path| !windows::is_windows_binary(path)),
        None => programs::find_all(name).find(|path| !windows::is_windows_program(path)),
    };
    found.map(|path| paths::absolute(&path))
}

/// Returns the Windows program that [`find`] leaves out, if there is one.
pub(crate) fn windows_program(named: Option<&Path>, name: &str) -> Option<PathBuf> {
    match named {
        Some(path) => which::which(path).ok().filter(|path| windows::is_windows_binary(path)),
        None => windows::programs(name).next(),
    }
}

/// The slowest answer seen was Claude Code's on a busy machine, after two seconds.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the command for a program that only prints something.
fn printing(program: &Path, arguments: &[&str]) -> io::Result<std::process::Command> {
    // llama-server loads libraries from the working directory, and a repository could contain some.
    let mut command = std::process::Command::new(std::path::absolute(program)?);
    command.current_dir("/").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // llama-server's own variables could make it do more than print its version.
    remove_variables(&mut command, |name| name.starts_with("LLAMA_"));
    // Nothing listens here; otherwise ollama prints the version of its server.
    command.env("OLLAMA_HOST", "127.0.0.1:1");
    Ok(command)
}

/// Runs a program that only prints something, and returns its output, or `None` if it doesn't exit in time. The program is
/// also ended if nobody waits for the output any more.
pub(crate) async fn run(program: &Path, arguments: &[&str]) -> io::Result<Option<Output>> {
    let mut command = printing(program, arguments)?;
    limits::restore_files(&mut command);
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let run = async {
        let (stdout, stderr) = tokio::try_join!(read(stdout), read(stderr))?;
        // Its pipes are closed, so a program that prints more ends too.
        Ok(Output { status: child.wait().await?, stdout, stderr })
    };
    timeout(VERSION_TIMEOUT, run).await.ok().transpose()
}

/// Like [`run`], for callers that can't wait in the event loop. `None` if it can't be run.
pub(crate) fn run_blocking(program: &Path, arguments: &[&str]) -> Option<Output> {
    output(&mut printing(program, arguments).ok()?, VERSION_TIMEOUT).ok()?
}

/// Reads what a program prints, up to a limit.
async fn read(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(MAX_OUTPUT).read_to_end(&mut text).await?;
    }
    Ok(text)
}

/// Returns the first number with dots in the output.
pub(crate) fn version(output: &Output) -> Option<String> {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let is_version = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    let mut words = text.split_whitespace().map(|word| word.trim_start_matches('v').trim_end_matches([',', ')']));
    words.find(is_version).map(str::to_owned)
}
