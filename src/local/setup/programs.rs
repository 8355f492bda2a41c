//! The first step: a backend and Claude Code.

use std::path::PathBuf;

use super::step::{Action, Install, Step};
use crate::{
    backend::{
        self, Backend,
        registry::{self, ALL},
    },
    base::{environment::Environment, error::Failure},
    claude,
    config::{Kind, Settings, Source},
};

pub(crate) struct Programs {
    /// The backend to use; if none is installed, the one to offer first.
    pub kind: Kind,
    /// Why it was selected; empty if none was.
    reason: String,
    installed: Vec<(Kind, PathBuf)>,
    backend: Result<(), Failure>,
    claude: Result<PathBuf, Failure>,
    backend_commands: Vec<String>,
    claude_commands: Vec<String>,
}

/// Finds the installed programs, and the commands that install the missing ones.
pub(crate) fn look(settings: &Settings, environment: &Environment) -> Programs {
    let chosen = match settings.backend {
        Some(kind) => Ok((kind, format!("from {}", settings.source("backend")))),
        None => backend::detect(settings, environment),
    };
    let (kind, reason, backend) = match chosen {
        Ok((kind, reason)) => (kind, reason, registry::backend(kind).program(settings, environment).map(drop)),
        Err(failure) => (ALL[0].kind(), String::new(), Err(failure)),
    };
    let claude = claude::find(settings, environment);
    let local = ALL.into_iter().filter(|backend| backend.is_detected());
    let program = |backend: &dyn Backend| Some((backend.kind(), backend.program(settings, environment).ok()??));
    // Installing a program elsewhere doesn't fix a path that the user set.
    let is_set = |key: &str| settings.source(key) != Source::Default;
    // LM Studio is a desktop app, so its users already have it.
    let offered = ALL.into_iter().filter(|backend| backend.is_detected() && backend.knows_models_offline());
    let backend_commands = match (&backend, reason.is_empty()) {
        (Ok(()), _) => Vec::new(),
        (Err(_), true) => offered.flat_map(Backend::install_commands).collect(),
        (Err(_), false) if is_set(&format!("{kind}.path")) => Vec::new(),
        (Err(_), false) => registry::backend(kind).install_commands(),
    };
    let claude_commands = if claude.is_ok() || is_set("claude.path") { Vec::new() } else { claude::install_commands() };
    Programs {
        kind,
        reason,
        installed: local.filter_map(program).collect(),
        backend,
        claude,
        backend_commands,
        claude_commands,
    }
}

impl Programs {
    pub(crate) fn has_backend(&self) -> bool {
        self.backend.is_ok()
    }

    pub(crate) fn step(&self) -> Step {
        let mut step = Step { title: "backend and Claude Code", found: Vec::new(), actions: Vec::new() };
        let mut missing = |what, commands: &Vec<String>, failure: &Failure| {
            let install = Install { what, commands: commands.clone(), missing: failure.clone() };
            step.actions.push(Action::Install(install));
            let why = failure.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("{}{why}", failure.what)
        };
        let what = if self.reason.is_empty() { "a backend" } else { registry::backend(self.kind).title() };
        let backend = match &self.backend {
            Ok(()) => format!("backend: {} ({})", self.kind, self.reason),
            Err(failure) => missing(what, &self.backend_commands, failure),
        };
        let claude = match &self.claude {
            Ok(program) => format!("Claude Code: {}", program.display()),
            Err(failure) => missing("Claude Code", &self.claude_commands, failure),
        };
        let installed = self.installed.iter().map(|(kind, path)| format!("installed: {kind}, {}", path.display()));
        step.found = installed.chain([backend, claude]).collect();
        step
    }
}
