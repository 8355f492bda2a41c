//! The first step: a backend and Claude Code.

use crate::base::environment::Environment;
use std::path::PathBuf;

use super::step::{Action, Install, Step};
use crate::{
    backend::{
        self, Backend,
        registry::{self, ALL},
    },
    base::error::Failure,
    claude,
    config::{Kind, Settings, Source},
};

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
pub fn look(settings: &Settings, environment: &Environment) -> Programs {
    let chosen = match settings.backend {
        Some(kind) => Ok((kind, format!("{} says so", settings.source("backend")))),
        None => backend::detect(settings, environment),
    };
    let (kind, why, backend) = match chosen {
        Ok((kind, why)) => (kind, why, registry::backend(kind).program(settings, environment).map(drop)),
        Err(failure) => (ALL[0].kind(), String::new(), Err(failure)),
    };
    let claude = claude::find(settings, environment);
    let local = ALL.into_iter().filter(|backend| backend.is_detected());
    let program = |backend: &dyn Backend| Some((backend.kind(), backend.program(settings, environment).ok()??));
    // What is installed elsewhere does not mend a path of the user's own.
    let named = |key: &str| settings.source(key) != Source::Default;
    // LM Studio is an app with a window; those who want it have it.
    let offered = ALL.into_iter().filter(|backend| backend.is_detected() && backend.knows_models_offline());
    let backend_ways = match (&backend, why.is_empty()) {
        (Ok(()), _) => Vec::new(),
        (Err(_), true) => offered.flat_map(|backend| backend.install_commands()).collect(),
        (Err(_), false) if named(&format!("{kind}.path")) => Vec::new(),
        (Err(_), false) => registry::backend(kind).install_commands(),
    };
    let claude_ways = if claude.is_ok() || named("claude.path") { Vec::new() } else { claude::ways() };
    Programs { kind, why, installed: local.filter_map(program).collect(), backend, claude, backend_ways, claude_ways }
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
        let what = if self.why.is_empty() { "a backend" } else { registry::backend(self.kind).title() };
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
