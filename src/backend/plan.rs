//! The model servers lclaude can run: what each is started with, when it is ready, and what its last words mean.
//!
//! A file a kind; this one is what they share. Ports, processes, retries, logs and leases are the keeper's business,
//! not a backend's.

use super::http::client_for;
use super::served::Served;
use super::undo::Undo;
use super::{command, endpoint, install, llamacpp, lmstudio, ollama};
use crate::config::Kind;
use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
    time::UNIX_EPOCH,
};

use reqwest::Client;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, mpsc};

use crate::{
    base::{
        error::{Code, Failure},
        process::Ending,
    },
    config::Settings,
};

/// The address every backend of ours listens on.
pub const HOST: &str = "127.0.0.1";

/// The token of a server that wants none: a word that says nothing, since Claude Code would send the user's own login in
/// place of an empty one.
pub const NO_TOKEN: &str = "none";

/// Where a token would stand.
pub const MASKED: &str = "••••••••";

/// No backend may see these: they are Claude Code's credentials and routing, or ours.
const NEVER_INHERITED: &[&str] = &["ANTHROPIC_*", "CLAUDE*", "LCLAUDE_*"];

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
    /// LM Studio, which has a server of its own and is told what to do with it.
    Studio(lmstudio::Studio),
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

/// How a backend that is coming up answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Nobody listens yet.
    Silent,
    /// It listens, and its model is still being loaded.
    Loading,
    Up,
    /// Something answers, but it is not ours.
    Stranger,
}

/// Why a backend that runs cannot be used.
#[derive(Debug)]
pub enum Unfit {
    /// Something else answers on its port.
    Stranger,
    Failed(Failure),
}

impl From<Failure> for Unfit {
    fn from(failure: Failure) -> Self {
        Unfit::Failed(failure)
    }
}

/// Something its log told about a start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub stage: String,
    /// From 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f32>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What a start has to say while it goes on, and what wakes it.
pub struct Starting<'a> {
    pub client: &'a Client,
    pub endpoint: &'a Endpoint,
    pub progress: mpsc::UnboundedSender<Progress>,
    /// A line of the log came, so a look may be worth while.
    pub line_came: &'a Notify,
    /// Whether the user agreed to a download.
    pub may_pull: bool,
    /// Writes down what has to be undone at the end.
    pub note: &'a dyn Fn(Undo),
}

impl Starting<'_> {
    pub fn tell(&self, stage: &str, fraction: Option<f32>, detail: impl Into<String>) {
        // The keeper may have stopped listening; then it has stopped this too.
        let _ = self.progress.send(Progress { stage: stage.into(), fraction, detail: detail.into() });
    }

    /// To be called before the thing is done.
    pub fn will_undo(&self, undo: Undo) {
        (self.note)(undo);
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
            Service::Studio(_) => "LM Studio".into(),
        }
    }

    /// Waits until the backend can answer, and finds out what it has.
    pub async fn bring_up(&self, starting: &Starting<'_>) -> Result<Served, Unfit> {
        match self.kind {
            Kind::LlamaCpp => llamacpp::bring_up(self, starting).await,
            Kind::Ollama => ollama::bring_up(self, starting).await,
            Kind::LmStudio => lmstudio::bring_up(self, starting).await,
            Kind::Command => command::bring_up(self, starting).await,
            Kind::Endpoint => endpoint::bring_up(self, starting).await,
        }
    }

    /// Whether a server that is no child of ours still serves what it was brought up with.
    pub async fn is_still_there(&self, client: &Client, endpoint: &Endpoint) -> bool {
        match self.kind {
            Kind::Ollama => ollama::is_there(client, &endpoint.url).await,
            Kind::LmStudio => lmstudio::is_there(self, client, endpoint).await,
            _ => true,
        }
    }

    pub fn progress(&self, line: &str) -> Option<Progress> {
        match self.kind {
            Kind::LlamaCpp => llamacpp::progress(line),
            _ => None,
        }
    }
}

/// Whether a server that somebody else runs will do for `plan`, and what it has.
pub async fn visit(plan: &BackendPlan, endpoint: &Endpoint) -> Result<Served, Failure> {
    let (progress, _) = mpsc::unbounded_channel();
    let (client, line_came) = (client_for(&endpoint.url), Notify::new());
    // Nothing is done to it.
    let note = |_| {};
    let starting =
        Starting { client: &client, endpoint, progress, line_came: &line_came, may_pull: false, note: &note };
    plan.bring_up(&starting).await.map_err(|unfit| match unfit {
        Unfit::Failed(failure) => failure,
        Unfit::Stranger => something_else(&plan.name(), &endpoint.url),
    })
}

/// The failure for a server that answers, but not as it should.
pub fn something_else(name: &str, url: &str) -> Failure {
    Failure::new(Code::Unavailable, format!("{name} is something else"))
        .why("it does not answer as it should")
        .help(format!("curl -v {url}"))
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
        conceal(&mut command, |name| self.removed.iter().any(|pattern| crate::base::pattern::matches(pattern, name)));
        command.envs(self.environment.iter().map(|(name, value)| (name, filled(value))));
        if let Some(variable) = &self.key_variable {
            command.env(variable, &endpoint.token);
        }
        command
    }
}

/// Keeps from a backend's program what none may see, and `more`.
pub fn conceal(command: &mut Command, more: impl Fn(&str) -> bool) {
    let never = |name: &str| NEVER_INHERITED.iter().any(|pattern| crate::base::pattern::matches(pattern, name));
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
    /// Where it was looked for, if the user named no place.
    pub why: String,
}

impl Absent<'_> {
    /// `named`: the place the user named.
    pub fn failure(&self, settings: &Settings, named: Option<&Path>) -> Failure {
        let Absent { kind, program, name, why } = self;
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
        failure.help(install::best(*kind)).help(format!("or set [{kind}] path = \"/path/to/{program}\""))
    }
}

/// The canonical path of the program the user named, or else of `name` on PATH.
pub fn program(named: Option<&Path>, name: &str) -> Option<PathBuf> {
    let found = match named {
        Some(path) => which::which(path),
        None => which::which(name),
    };
    found.ok()?.canonicalize().ok()
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
