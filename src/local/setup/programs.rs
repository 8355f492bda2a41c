//! The first step: a backend and Claude Code.

use std::path::{Path, PathBuf};

use super::step::{Action, Install, Step};
use crate::{
    backend::{find, install},
    base::error::Failure,
    claude,
    config::{Kind, Settings, Source},
};

/// The backends that are programs of this machine.
const LOCAL: [Kind; 3] = [Kind::Ollama, Kind::LmStudio, Kind::LlamaCpp];

pub struct Programs {
    /// The backend to use; where none is installed, the one that is offered first.
    pub kind: Kind,
    why: String,
    installed: Vec<(Kind, PathBuf)>,
    backend: Result<(), Failure>,
    claude: Result<PathBuf, Failure>,
    backend_ways: Vec<String>,
    claude_ways: Vec<String>,
}

/// What is there, and what could install the rest.
pub fn look(settings: &Settings, home: &Path, here: &Path) -> Programs {
    let chosen = match settings.backend {
        Some(kind) => Ok((kind, format!("{} says so", settings.source("backend")))),
        None => find::detect(settings, home, here),
    };
    let (kind, why, backend) = match chosen {
        Ok((kind, why)) => (kind, why, find::program(kind, settings, home, here).map(drop)),
        Err(failure) => (Kind::Ollama, String::new(), Err(failure)),
    };
    let claude = claude::find(settings, home, here);
    let program = |kind| Some((kind, find::program(kind, settings, home, here).ok()??));
    // What is installed elsewhere does not mend a path of the user's own.
    let named = |key: &str| settings.source(key) != Source::Default;
    let backend_ways = match (&backend, why.is_empty()) {
        (Ok(()), _) => Vec::new(),
        (Err(_), true) => [install::ways(kind), install::ways(Kind::LlamaCpp)].concat(),
        (Err(_), false) if named(&format!("{kind}.path")) => Vec::new(),
        (Err(_), false) => install::ways(kind),
    };
    let claude_ways = if claude.is_ok() || named("claude.path") { Vec::new() } else { claude::ways() };
    Programs {
        kind,
        why,
        installed: LOCAL.into_iter().filter_map(program).collect(),
        backend,
        claude,
        backend_ways,
        claude_ways,
    }
}

impl Programs {
    pub fn has_backend(&self) -> bool {
        self.backend.is_ok()
    }

    pub fn step(&self) -> Step {
        let mut step = Step { title: "backend and Claude Code", found: Vec::new(), actions: Vec::new() };
        let mut missing = |what, ways: &Vec<String>, failure: &Failure| {
            let install = Install { what, ways: ways.clone(), missing: failure.clone() };
            step.actions.push(Action::Install(install));
            let why = failure.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("{}{why}", failure.what)
        };
        let what = match self.kind {
            _ if self.why.is_empty() => "a backend",
            Kind::Ollama => "Ollama",
            Kind::LmStudio => "LM Studio",
            _ => "llama.cpp",
        };
        let backend = match &self.backend {
            Ok(()) => format!("backend: {}, since {}", self.kind, self.why),
            Err(failure) => missing(what, &self.backend_ways, failure),
        };
        let claude = match &self.claude {
            Ok(program) => format!("Claude Code: {}", program.display()),
            Err(failure) => missing("Claude Code", &self.claude_ways, failure),
        };
        let installed = self.installed.iter().map(|(kind, path)| format!("installed: {kind}, {}", path.display()));
        step.found = installed.chain([backend, claude]).collect();
        step
    }
}
