//! Settings, a backend and Claude Code become one plan: all that will happen, as data, before anything does.

use std::path::{Path, PathBuf};

use super::verdict::{Proven, Verdicts};
use crate::{
    backend::{
        self, BackendPlan, Chosen, Endpoint, Served, Service,
        address::is_remote,
        context::{another_model, enough_context, least},
        fit::Known,
        registry,
    },
    base::{
        context::{LEAST_CONTEXT, ROOMY_CONTEXT},
        environment::Environment,
        error::{Code, Failure, Result},
    },
    claude::{self, Routing},
    config::Settings,
    keeper::{self, Start},
};

/// Whether models that are missing may be downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Downloads {
    Agreed,
    NotAgreed,
}

/// All that a session needs but its child. Made once, and never changed.
#[derive(Debug)]
pub struct Plan {
    pub backend: BackendPlan,
    /// What programs are given so that they speak to it.
    pub routing: Routing,
    /// Why this backend, if nobody chose it.
    pub reason: Option<String>,
    /// Where the server is, if somebody else runs it.
    pub endpoint: Option<Endpoint>,
    settings: Settings,
    environment: Environment,
    runtime: PathBuf,
    log: PathBuf,
}

impl Plan {
    /// # Errors
    /// Whatever is wrong is found out here, before anything is started, as far as looking can tell.
    pub fn new(settings: Settings, environment: Environment) -> Result<Self> {
        enough_context(&settings)?;
        let Chosen { plan: backend, tiers, reason } = backend::plan(&settings, &environment)?;
        let places = &environment.places;
        Ok(Plan {
            log: if settings.throwaway == Some(true) {
                // Nothing of such a session is in the home directory, not even this.
                places.runtime()?.join(format!("{}.log", backend.id()))
            } else {
                places.state.join("logs").join(format!("{}.log", backend.id()))
            },
            endpoint: registry::backend(backend.kind).endpoint(&settings, &environment)?,
            routing: Routing::new(&settings, tiers, describe(&backend), &environment.variables)?,
            reason,
            backend,
            runtime: places.runtime()?.to_owned(),
            settings,
            environment,
        })
    }

    /// Returns the settings that it was made from.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns where sockets, locks and a session's private files are.
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// Makes the runtime directory if it is missing.
    ///
    /// # Errors
    /// `Config` when it cannot be made private.
    pub fn ready_runtime(&self) -> Result<()> {
        self.environment.places.ready_runtime()
    }

    /// Returns the backend's log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Returns what a keeper of this backend has to know.
    pub fn start(&self, downloads: Downloads) -> Start {
        Start {
            plan: self.backend.clone(),
            lifetime: self.settings.lifetime.clone(),
            runtime: self.runtime.clone(),
            log: self.log.clone(),
            state: self.environment.places.state.clone(),
            may_pull: downloads == Downloads::Agreed && self.untrusted().is_none(),
            token: registry::backend(self.backend.kind).token(&self.environment),
            endpoint: self.endpoint.clone(),
        }
    }

    /// Whether the backend is up, so that nothing has to be loaded for another session.
    pub fn is_up(&self) -> bool {
        keeper::is_up(&self.runtime, &self.backend)
    }

    /// Returns the project's file that chooses models without the user's word, for which nothing is downloaded.
    pub fn untrusted(&self) -> Option<&Path> {
        self.settings.untrusted_choice()
    }

    /// Returns the models that the user has to agree to download first.
    pub async fn missing(&self) -> Vec<String> {
        let backend = registry::backend(self.backend.kind);
        let mut missing = backend.missing(&self.backend, &self.environment).await;
        missing.retain(|model| self.untrusted().is_some() || !backend.is_download_wanted(&self.settings, model));
        missing
    }

    /// Returns the failure for a missing model that may not be downloaded, or `None` where a server that runs already says
    /// it itself.
    pub fn not_installed(&self, model: &str) -> Option<Failure> {
        registry::backend(self.backend.kind).not_installed(&self.backend, model, &self.environment)
    }

    /// Weighs what will be loaded against the memory that there is, and returns a warning if it is tight. Reads the models'
    /// headers, so only for a backend that is not up.
    ///
    /// # Errors
    /// `Unavailable` when it cannot fit.
    pub fn weigh(&self) -> Result<Option<String>> {
        backend::fit::check(&self.settings, &self.backend, &self.environment)
    }

    /// Returns what a look at the models' files tells.
    pub fn look(&self) -> Known {
        backend::fit::look(&self.settings, &self.backend, &self.environment)
    }

    /// Returns what the backend serves if it gives all that is asked for and the model, `trained` for so many tokens, can
    /// take.
    pub fn expected(&self, trained: Option<u32>) -> Served {
        let asked = self.backend.context;
        let mut served = Served::new();
        served.grant(&self.backend.models[0], trained.map_or(asked, |trained| trained.min(asked)), trained);
        served
    }

    /// What the user should know before Claude Code starts.
    ///
    /// # Errors
    /// `Unavailable` when the context is too small for Claude Code to work at all.
    pub fn judge(&self, served: &Served) -> Result<Vec<String>> {
        let model = &self.backend.models[0];
        let mut words = Vec::new();
        let by =
            self.settings.project_choice().map(|file| format!(", as {} chose", file.display())).unwrap_or_default();
        if let Service::Running(url) = &self.backend.service
            && is_remote(url)
        {
            words.push(format!("your code goes to {url}{by}"));
        }
        if let Some(place) = registry::backend(self.backend.kind).sends_prompts_to(&self.backend) {
            words.push(format!("your code goes to {place}{by}"));
        }
        if !served.tools {
            words.push(format!(
                "warning: {model} cannot call tools, so Claude Code can talk but neither read nor write files\n  \
                 help: choose a model whose chat template has tools"
            ));
        }
        if served.context < LEAST_CONTEXT && self.settings.checks_context() {
            return Err(Failure::new(
                Code::Unavailable,
                format!("{} has too small a context for Claude Code", served.of),
            )
            .why(format!("{}; {}", served.contexts(self.backend.context), least()))
            .help(self.more_context(served))
            .help("context_check = false starts it all the same"));
        }
        if served.context < self.backend.context {
            words.push(format!(
                "warning: {}: {}\n  help: {}",
                served.of,
                served.contexts(self.backend.context),
                self.more_context(served)
            ));
        }
        words.extend(served.notes.iter().cloned());
        Ok(words)
    }

    /// What `lclaude local doctor --live` complained of, the last time it proved just this.
    pub fn verdict(&self, claude: &Path) -> Option<String> {
        Verdicts::read(&self.environment.places.state).of(&Proven::of(&self.backend, claude))?.warning()
    }

    /// Whether Claude Code gets a small tool set and prompt: where the user says so, or says nothing and the context is
    /// small.
    pub fn is_lean(&self, served: &Served) -> bool {
        self.settings.lean.unwrap_or(served.context < ROOMY_CONTEXT)
    }

    /// What is left out, if anything is. `whole`: Claude Code's arguments are ours to give, not only its variables.
    pub fn lean_words(&self, served: &Served, whole: bool) -> Option<String> {
        let what = match whole {
            true => "six tools, no MCP servers but --mcp-config's, no auto memory".into(),
            false => format!("no auto memory; a claude in it wants --tools {} --strict-mcp-config", claude::LEAN_TOOLS),
        };
        let why =
            if self.settings.lean == Some(true) { "" } else { ", since the context is small (lean = false keeps all)" };
        self.is_lean(served).then(|| format!("lean: {what}{why}"))
    }

    fn more_context(&self, served: &Served) -> String {
        if let Some(known) = &served.more_context {
            return known.clone();
        }
        if let Some(trained) = served.trained.filter(|trained| *trained <= served.context) {
            return another_model(trained);
        }
        registry::backend(self.backend.kind).more_context(&self.backend)
    }
}

/// Where a model runs, for the picker.
fn describe(backend: &BackendPlan) -> String {
    match &backend.service {
        Service::Running(url) if is_remote(url) => format!("at {url}"),
        _ => format!("on this machine, by {}", backend.kind),
    }
}
