//! The plan of a backend: all that decides what runs, as data.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::program::conceal;
use crate::{
    base::{pattern::matches, process::Ending},
    config::Kind,
};

/// The address every backend of ours listens on.
pub const HOST: &str = "127.0.0.1";

/// The token of a server that wants none: a word that says nothing, since Claude Code would send the user's own login in
/// place of an empty one.
pub const NO_TOKEN: &str = "none";

/// Where a token would stand.
pub const MASKED: &str = "••••••••";

/// All that decides what runs. Two sessions with equal plans share one backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendPlan {
    pub kind: Kind,
    pub service: Service,
    /// The names it is asked for, each once; the first is the main one.
    pub models: Vec<String>,
    /// Where the model is, for people.
    pub origin: String,
    /// Tokens asked for.
    pub context: u32,
}

/// How a backend comes to be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// A program of our own, on a port of our own.
    Program(Program),
    /// A server that runs already, at this URL.
    Running(String),
    /// A program that has a server of its own, and is told what to do with it.
    Managed {
        program: PathBuf,
        /// What its kind has to know.
        options: serde_json::Value,
    },
}

/// A program as the keeper starts it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Canonical.
    pub path: PathBuf,
    /// Nanoseconds since the epoch: a program that was upgraded is another one.
    pub mtime: u128,
    /// With `{port}` where the port goes.
    pub arguments: Vec<String>,
    /// Likewise.
    pub environment: BTreeMap<String, String>,
    /// Inherited variables it must not see; a trailing `*` stands for any ending.
    pub removed: Vec<String>,
    /// The content of a private file that the keeper writes for it, for `{file}` in its arguments.
    pub file: Option<String>,
    /// The variable its key is given in, if it takes one.
    pub key_variable: Option<String>,
    /// Whether it binds its port with `SO_REUSEPORT`, so that the keeper can hold the port all along.
    pub shares_port: bool,
    /// The path that answers once it is up, where that is the user's to say.
    pub health: String,
    /// Whether it shows its progress only to a terminal.
    pub terminal: bool,
    pub ending: Ending,
}

/// Where one run of a plan is reached, and the key it wants.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Without a path: clients add `/v1/…` themselves.
    pub url: String,
    /// 0 for a server that is not ours.
    pub port: u16,
    /// Never empty; see [`NO_TOKEN`].
    pub token: String,
}

impl Endpoint {
    /// Words without the token, which a server or a program may repeat.
    pub fn hushed(&self, words: &str) -> String {
        if self.token == NO_TOKEN { words.to_owned() } else { words.replace(&self.token, MASKED) }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({}, token masked)", self.url)
    }
}

impl BackendPlan {
    /// 16 hex digits that name the socket, the lock and the log. Another version of lclaude has other ones, so that a
    /// keeper never meets a session that speaks another protocol.
    pub fn id(&self) -> String {
        let mut plan = self.clone();
        if let Service::Running(_) = plan.service {
            // What is asked of a server that runs already changes nothing about it.
            plan.context = 0;
        }
        let mut hash = Sha256::new();
        hash.update(env!("CARGO_PKG_VERSION"));
        hash.update(serde_json::to_vec(&plan).expect("a plan is plain data"));
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// What it is called in messages.
    pub fn name(&self) -> String {
        match &self.service {
            Service::Program(program) => program.path.display().to_string(),
            Service::Running(url) => format!("{} at {url}", self.kind),
            Service::Managed { program, .. } => program.display().to_string(),
        }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({} {:?}, environment masked)", self.path.display(), self.arguments)
    }
}

impl Program {
    /// A program found at `path`, without arguments.
    pub fn new(path: PathBuf) -> Self {
        let modified = fs::metadata(&path).and_then(|meta| meta.modified()).ok();
        Program {
            mtime: modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |age| age.as_nanos()),
            path,
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            removed: Vec::new(),
            file: None,
            key_variable: None,
            shares_port: false,
            health: String::new(),
            terminal: false,
            ending: Ending::Terminate,
        }
    }

    /// As it is started at `endpoint`, with its file at `file`.
    pub fn command(&self, endpoint: &Endpoint, file: &Path) -> Command {
        let port = endpoint.port.to_string();
        let filled = |text: &String| {
            let text = text.replace("{port}", &port);
            if self.file.is_some() { text.replace("{file}", &file.display().to_string()) } else { text }
        };
        let mut command = Command::new(&self.path);
        command.args(self.arguments.iter().map(filled));
        conceal(&mut command, |name| self.removed.iter().any(|pattern| matches(pattern, name)));
        command.envs(self.environment.iter().map(|(name, value)| (name, filled(value))));
        if let Some(variable) = &self.key_variable {
            command.env(variable, &endpoint.token);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_token_that_is_one_is_kept_from_words() {
        let of = |token: &str| Endpoint { url: String::new(), port: 0, token: token.into() };
        assert_eq!(of("sk-1").hushed("wrong key sk-1, none of ours"), format!("wrong key {MASKED}, none of ours"));
        assert_eq!(of(NO_TOKEN).hushed("none of ours"), "none of ours");
    }
}
