//! The plan of a backend: everything that determines what runs, as data.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use reqwest::RequestBuilder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::program::remove_variables;
use crate::{
    base::{fingerprint::Fingerprint, limits, pattern::matches, process::Ending, ui::MASKED},
    config::Kind,
};

/// The address that every backend started by lclaude listens on.
pub(crate) const HOST: &str = "127.0.0.1";

/// The token for a server that needs none. It isn't empty, since Claude Code would then send the user's own login.
pub(crate) const NO_TOKEN: &str = "none";

/// Stands for the API key in the command line and environment of a program that the user describes.
pub(crate) const TOKEN: &str = "{token}";

/// Everything that determines what runs. Sessions with equal plans share one backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackendPlan {
    pub kind: Kind,
    pub service: Service,
    /// The names of the served models without duplicates, the main one first. Empty for the server's own client, such
    /// as `ollama pull`.
    pub models: Vec<String>,
    /// Where the models are, for messages.
    pub origin: String,
    /// Tokens requested.
    pub context: u32,
}

/// How the backend's server runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Service {
    /// A program that the keeper starts, on a port that the keeper chooses.
    Program(Program),
    /// A server that already runs, at this URL.
    Running(String),
    /// A program that controls its own server.
    Managed {
        /// The name of the server, for messages.
        title: String,
        program: PathBuf,
        /// Data of its kind.
        options: serde_json::Value,
    },
}

/// A program as the keeper starts it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    /// Absolute, and as the user named it.
    pub path: PathBuf,
    /// Of the program and of the model files that it loads, so that an upgraded program or a replaced model makes a
    /// different plan. They complement the names and don't replace them: two links to one file share a server only if
    /// they have the same path, because the name and the directory of a link can change what is run (a shim, a virtual
    /// environment) and loaded (the other parts of a model).
    pub fingerprints: Vec<Fingerprint>,
    /// The word before all options, if the program has several commands.
    pub subcommand: Option<String>,
    /// `{port}` and `{file}` are replaced at the start.
    pub arguments: Vec<String>,
    /// The same placeholders are replaced here.
    pub environment: BTreeMap<String, String>,
    /// Inherited variables to remove; a trailing `*` matches any ending.
    pub removed: Vec<String>,
    /// The content of a private file that the keeper writes; `{file}` stands for its path.
    pub file: Option<String>,
    /// The variable that passes the API key, if it takes one.
    pub key_variable: Option<String>,
    /// Whether `{token}` in its arguments and environment stands for the API key.
    pub fills_token: bool,
    /// Whether it binds its port with `SO_REUSEPORT`, so that the keeper can hold the port all the time.
    pub shares_port: bool,
    /// The health path, if the user configures it.
    pub health: String,
    /// Whether it needs a terminal to show progress.
    pub terminal: bool,
    pub ending: Ending,
    /// Ends what a signal to the program doesn't end. Runs before the program's group is ended.
    pub stop: Option<Box<StopCommand>>,
    /// Where it may keep files between its runs.
    pub cache: Option<CacheDirectory>,
}

/// A directory for a program's files. If it can't be made, the program does without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CacheDirectory {
    /// The option that names it.
    pub option: String,
    pub path: PathBuf,
}

/// The command that ends a server which doesn't end with its program, such as a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StopCommand {
    pub program: Program,
    /// After this time it is killed.
    pub timeout: Duration,
}

/// The URL and token of one run of a plan.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// Without the `/v1/…` path, which clients add.
    pub url: String,
    /// 0 for a server that lclaude doesn't start.
    pub port: u16,
    /// Sent as `Authorization: Bearer`. Never empty; see [`NO_TOKEN`].
    pub token: String,
    /// The variable that holds the token, for messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_variable: Option<String>,
    /// Other headers of every request, for gateways.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
}

/// A header of every request to a server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub name: String,
    pub value: String,
    /// Whether the value must not be shown.
    pub is_secret: bool,
}

impl Endpoint {
    /// Returns an endpoint without headers of its own.
    pub(crate) fn new(url: String, port: u16, token: String) -> Self {
        Endpoint { url, port, token, token_variable: None, headers: Vec::new() }
    }

    /// Returns a text with all secrets masked, since a server or program may repeat them.
    pub(crate) fn masked(&self, text: &str) -> String {
        self.secrets().fold(text.to_owned(), |text, secret| text.replace(secret, MASKED))
    }

    /// Returns the same endpoint with its secrets masked, to be shown.
    pub(crate) fn shown(&self) -> Self {
        // A value that the configuration has in plain text may be secret too.
        let shown = |header: &Header| Header { value: MASKED.into(), ..header.clone() };
        Endpoint { token: MASKED.into(), headers: self.headers.iter().map(shown).collect(), ..self.clone() }
    }

    fn secrets(&self) -> impl Iterator<Item = &str> {
        let headers = self.headers.iter().filter(|header| header.is_secret).map(|header| header.value.as_str());
        let token = Some(self.token.as_str()).filter(|token| *token != NO_TOKEN);
        token.into_iter().chain(headers).filter(|secret| !secret.is_empty())
    }

    /// Returns the request with the token and the headers.
    pub(crate) fn authorize(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.bearer_auth(&self.token);
        self.headers.iter().fold(request, |request, header| request.header(&header.name, &header.value))
    }

    /// Returns the headers as Claude Code reads them from `ANTHROPIC_CUSTOM_HEADERS`, or `None` without any.
    pub(crate) fn custom_headers(&self) -> Option<String> {
        let lines: Vec<String> =
            self.headers.iter().map(|header| format!("{}: {}", header.name, header.value)).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({}, token masked)", self.url)
    }
}

impl BackendPlan {
    /// Returns 16 hex digits that name the socket, the lock and the log. They include lclaude's version, so that a
    /// keeper never gets a session with a different protocol.
    pub(crate) fn id(&self) -> String {
        let mut plan = self.clone();
        if let Service::Running(_) = plan.service {
            // The requested context doesn't affect a server that already runs.
            plan.context = 0;
        }
        let mut hash = Sha256::new();
        hash.update(env!("CARGO_PKG_VERSION"));
        hash.update(serde_json::to_vec(&plan).expect("a plan is plain data"));
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns the names of its models, for messages.
    pub(crate) fn model_list(&self) -> String {
        if self.models.is_empty() { "no model".into() } else { self.models.join(", ") }
    }

    /// Returns what lclaude does first to have it up, for people. Nothing is started if the server runs already.
    pub(crate) fn first_step(&self) -> String {
        let models = self.model_list();
        match &self.service {
            // A program that the user describes has no better name than its own.
            Service::Program(program) if self.kind.required_key().is_some() => {
                let name = program.path.file_name().unwrap_or(program.path.as_os_str());
                format!("starting {} ({models})", name.display())
            }
            Service::Program(_) => format!("starting {} ({models})", self.kind),
            Service::Running(url) => format!("connecting to {url} ({models})"),
            Service::Managed { title, .. } => format!("connecting to {title} ({models})"),
        }
    }

    /// Returns whether lclaude starts its server and lends it the port.
    pub(crate) fn lends_port(&self) -> bool {
        matches!(&self.service, Service::Program(program) if program.lends_port())
    }

    /// Returns its name for messages.
    pub(crate) fn name(&self) -> String {
        match &self.service {
            Service::Program(program) => program.path.display().to_string(),
            Service::Running(url) => format!("{} at {url}", self.kind),
            Service::Managed { title, .. } => title.clone(),
        }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({} {:?}, environment masked)", self.path.display(), self.arguments)
    }
}

impl Program {
    /// Returns the program at `path`, without arguments.
    pub(crate) fn new(path: PathBuf) -> Self {
        Program {
            fingerprints: vec![Fingerprint::of(&path)],
            path,
            subcommand: None,
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            removed: Vec::new(),
            file: None,
            key_variable: None,
            fills_token: false,
            shares_port: false,
            health: String::new(),
            terminal: false,
            ending: Ending::Terminate,
            stop: None,
            cache: None,
        }
    }

    /// Returns whether it is lent its port, which another user's program could take instead while it starts. A key
    /// doesn't help: a client sends it along with the prompt.
    pub(crate) fn lends_port(&self) -> bool {
        !self.shares_port
    }

    /// Returns the command that starts it at `endpoint`, with its private file at `file`.
    pub(crate) fn command(&self, endpoint: &Endpoint, file: &Path) -> Command {
        let port = endpoint.port.to_string();
        let filled = |text: &String| {
            let text = text.replace("{port}", &port);
            let text = if self.fills_token { text.replace(TOKEN, &endpoint.token) } else { text };
            if self.file.is_some() { text.replace("{file}", &file.display().to_string()) } else { text }
        };
        let mut command = Command::new(&self.path);
        limits::restore_files(&mut command);
        command.args(&self.subcommand);
        // First, since the user's own arguments come last.
        if let Some(cache) = self.cache.as_ref().filter(|cache| cache.path.is_dir()) {
            command.arg(&cache.option).arg(&cache.path);
        }
        command.args(self.arguments.iter().map(filled));
        remove_variables(&mut command, |name| self.removed.iter().any(|pattern| matches(pattern, name)));
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
    fn tokens_are_masked_and_the_placeholder_is_not() {
        let of = |token: &str| Endpoint::new(String::new(), 0, token.into());
        assert_eq!(of("sk-1").masked("wrong key sk-1, none of ours"), format!("wrong key {MASKED}, none of ours"));
        assert_eq!(of(NO_TOKEN).masked("none of ours"), "none of ours");
        let secret = |is_secret| Header { name: "X-Key".into(), value: "k-2".into(), is_secret };
        let endpoint = Endpoint { headers: vec![secret(true)], ..of("sk-1") };
        assert_eq!(endpoint.masked("neither sk-1 nor k-2"), format!("neither {MASKED} nor {MASKED}"));
        assert_eq!(endpoint.shown().custom_headers(), Some(format!("X-Key: {MASKED}")));
        assert_eq!(Endpoint { headers: vec![secret(false)], ..of("sk-1") }.masked("k-2"), "k-2");
    }
}
