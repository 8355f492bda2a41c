//! Asking a program for its version: the only thing that is started without `--live`.

use std::{
    io,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use crate::backend;

/// The slowest answer seen was Claude Code's on a busy machine, with two seconds.
const LIMIT: Duration = Duration::from_secs(10);

/// `None`: it did not end in time.
pub async fn ask(program: &Path, argument: &str) -> io::Result<Option<Output>> {
    // Not where the user is: llama-server loads libraries that it finds in the working directory, and a repository could
    // have some.
    let mut command = Command::new(std::path::absolute(program)?);
    command.current_dir("/").arg(argument).stdin(Stdio::null()).kill_on_drop(true);
    // As a backend never sees them either; its own variables could make it do something else than tell its version.
    backend::conceal(command.as_std_mut(), |name| name.starts_with("LLAMA_"));
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
