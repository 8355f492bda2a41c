//! The plan of a session: the settings, the backend and the routing as data, complete before anything is started.

use std::path::{Path, PathBuf};

use super::verdict::{VerdictKey, Verdicts};
use crate::{
    backend::{
        self, BackendPlan, ChosenBackend, Endpoint, Served, Service,
        address::is_remote,
        context::{another_model, enough_context, too_small},
        fit::ModelFacts,
        registry,
    },
    base::{
        context::{LEAN_BELOW, MIN_CONTEXT},
        environment::Environment,
        error::{Failure, Result},
        paths, ui,
    },
    claude::{self, Place, Routed, Routing, SessionPlan},
    config::{Settings, ToolSet},
    keeper::{self, ConversationKind, StartRequest, WarmStart},
    warm::{Key, Store},
};

/// Whether missing models may be downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Downloads {
    Agreed,
    NotAgreed,
}

/// Everything a session needs except its child. Immutable.
#[derive(Debug)]
pub(crate) struct Plan {
    pub backend: BackendPlan,
    /// The variables that make programs use the backend.
    pub routing: Routing,
    /// Why this backend was chosen, if the user didn't choose one.
    pub reason: Option<String>,
    /// The server's endpoint, if somebody else runs it.
    pub endpoint: Option<Endpoint>,
    settings: Settings,
    environment: Environment,
    runtime: PathBuf,
    /// All runtime directories of this user.
    places: Vec<PathBuf>,
    log: PathBuf,
}

impl Plan {
    /// Plans a session.
    ///
    /// # Errors
    /// All errors that can be detected without starting anything.
    pub(crate) fn new(settings: Settings, environment: Environment) -> Result<Self> {
        enough_context(&settings)?;
        let ChosenBackend { plan: backend, tiers, reason } = backend::plan(&settings, &environment)?;
        let places = environment.places.runtimes()?;
        let runtime = keeper::place(&places, &backend);
        Ok(Plan {
            log: log(&settings, &environment, &backend, &runtime),
            endpoint: registry::backend(backend.kind).endpoint(&settings, &environment)?,
            routing: Routing::new(&settings, tiers, place(&backend), &environment.variables)?,
            reason,
            backend,
            runtime,
            places,
            settings,
            environment,
        })
    }

    /// Returns the same plan for the server's own client, such as `ollama pull`, for which no model is loaded.
    pub(crate) fn for_client(mut self) -> Self {
        self.backend.models.clear();
        self.runtime = keeper::place(&self.places, &self.backend);
        self.log = log(&self.settings, &self.environment, &self.backend, &self.runtime);
        self
    }

    /// Returns the variables of a child. A program other than Claude Code may be or run the server's own client.
    pub(crate) fn route(&self, endpoint: &Endpoint, served: &Served, is_claude: bool) -> Routed {
        let mut routed = self.routing.route(endpoint, served, self.tools(served));
        routed.keeper = keeper::socket(&self.runtime, &self.backend, self.endpoint.is_some());
        if !is_claude {
            let client = registry::backend(self.backend.kind).client_variables(endpoint);
            routed.table.extend(client.into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
        routed
    }

    /// Returns the settings that the plan was made from.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the environment that the plan was made in.
    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Returns the directory of sockets, locks and private files: the one in which the backend's keeper is, or the
    /// preferred one.
    pub(crate) fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// Returns all runtime directories of this user.
    pub(crate) fn places(&self) -> &[PathBuf] {
        &self.places
    }

    /// Creates the runtime directory if it is missing.
    ///
    /// # Errors
    /// `Config` if it can't be made private.
    pub(crate) fn ready_runtime(&self) -> Result<()> {
        paths::ready_runtime(&self.runtime)
    }

    /// Returns the backend's log.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Returns what a keeper needs to start this backend.
    pub(crate) fn start(&self, downloads: Downloads) -> StartRequest {
        StartRequest {
            plan: self.backend.clone(),
            lifetime: self.settings.lifetime.clone(),
            runtime: self.runtime.clone(),
            places: self.places.clone(),
            log: self.log.clone(),
            state: self.environment.places.state.clone(),
            may_pull: downloads == Downloads::Agreed && self.untrusted().is_none(),
            token: registry::backend(self.backend.kind).token(&self.environment),
            endpoint: self.endpoint.clone(),
            warm: None,
        }
    }

    /// Returns the store of warm starts, or `None` if they are off. A server that lclaude doesn't start, or that sends prompts
    /// elsewhere, gets no requests of lclaude's.
    pub(crate) fn store(&self, writes: bool) -> Option<Store> {
        let forwards = registry::backend(self.backend.kind).sends_prompts_to(&self.backend).is_some();
        let is_ours = !forwards && !matches!(self.backend.service, Service::Running(_));
        Store::of_session(&self.settings, &self.environment.places, writes).filter(|_| is_ours)
    }

    /// Returns what this session wants of warm starts, or `None` if they are off, or nothing about its prompt is known
    /// before it is sent.
    pub(crate) fn warm_start(&self, session: &SessionPlan) -> Option<WarmStart> {
        let store = self.store(session.throwaway.is_none())?;
        let shape = (session.prompt_shape()?, &self.backend.models, &self.settings.claude.tools);
        let directory = self.environment.working_dir().ok()?.as_os_str().as_encoded_bytes();
        let conversation = ConversationKind { project: Key::of(&(&shape, directory)), anywhere: Key::of(&shape) };
        Some(WarmStart { store, conversation })
    }

    /// Returns whether the backend is up, so that another session loads nothing.
    pub(crate) fn is_up(&self) -> bool {
        keeper::is_up(&self.runtime, &self.backend)
    }

    /// Returns the untrusted project file that chooses models, if there is one. Nothing is downloaded for it.
    pub(crate) fn untrusted(&self) -> Option<&Path> {
        self.settings.untrusted_choice()
    }

    /// Returns the missing models that need the user's consent to download.
    pub(crate) async fn missing(&self) -> Vec<String> {
        let backend = registry::backend(self.backend.kind);
        let mut missing = backend.missing(&self.backend, &self.environment).await;
        missing.retain(|model| self.untrusted().is_some() || !backend.is_download_wanted(&self.settings, model));
        missing
    }

    /// Returns the failure for a missing model that may not be downloaded, or `None` if a running server reports it.
    pub(crate) fn not_installed(&self, model: &str) -> Option<Failure> {
        registry::backend(self.backend.kind).not_installed(&self.backend, model, &self.environment)
    }

    /// Returns the failure for a missing model that is on this machine, but where this backend can't use it, or `None`.
    pub(crate) async fn out_of_reach(&self, model: &str) -> Option<Failure> {
        let backend = registry::backend(self.backend.kind);
        backend.out_of_reach(&self.settings, &self.backend, model, &self.environment).await
    }

    /// Checks whether the models fit in memory, and returns a warning if memory is tight. Reads the models' headers, so
    /// call it only if the backend isn't up.
    ///
    /// # Errors
    /// `Unavailable` if they can't fit.
    pub(crate) fn check_memory(&self) -> Result<Option<String>> {
        backend::fit::check(&self.settings, &self.backend, &self.environment)
    }

    /// Returns what the headers of the models' files say.
    pub(crate) fn inspect_models(&self) -> ModelFacts {
        backend::fit::inspect(&self.settings, &self.backend, &self.environment)
    }

    /// Returns the notes and warnings to print before Claude Code starts.
    ///
    /// # Errors
    /// `Unavailable` if the context is too small for Claude Code.
    pub(crate) fn check_served(&self, served: &Served) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        let chosen =
            self.settings.project_choice().map(|file| format!(" (chosen by {})", file.display())).unwrap_or_default();
        let chosen = ui::one_line(chosen);
        if let Service::Running(url) = &self.backend.service
            && is_remote(url)
        {
            notes.push(format!("your code is sent to {}{chosen}", ui::one_line(url)));
        }
        if let Some(place) = registry::backend(self.backend.kind).sends_prompts_to(&self.backend) {
            notes.push(format!("your code is sent to {}{chosen}", ui::one_line(place)));
        }
        if !served.tools {
            let model = ui::one_line(self.backend.model_list());
            notes.push(format!(
                "warning: {model} cannot call tools, so Claude Code can't read or write files\n  \
                 help: lclaude local models  # shows which models can call tools"
            ));
        }
        notes.extend(self.check_context(served)?);
        notes.extend(served.notes.iter().cloned());
        Ok(notes)
    }

    /// Returns a warning about a context that is smaller than requested.
    ///
    /// # Errors
    /// `Unavailable` if it is too small for Claude Code.
    pub(crate) fn check_context(&self, served: &Served) -> Result<Option<String>> {
        let asked = self.backend.context;
        if served.context < MIN_CONTEXT && self.settings.checks_context() {
            return Err(too_small(served, asked, self.more_context(served)));
        }
        Ok((served.context < asked).then(|| {
            let (of, help) = (ui::one_line(&served.of), ui::one_line(self.more_context(served)));
            format!("warning: {of}: {}\n  help: {help}", served.contexts(asked))
        }))
    }

    /// Returns the warning of the last `lclaude local doctor --live` with the same backend, models and Claude Code.
    pub(crate) fn verdict(&self, claude: &Path) -> Option<String> {
        Verdicts::read(&self.environment.places.state).get(|| VerdictKey::of(&self.backend, claude))?.warning()
    }

    /// Returns which tools Claude Code gets. Unless configured, the context decides.
    pub(crate) fn tools(&self, served: &Served) -> ToolSet {
        let by_context = if served.context < LEAN_BELOW { ToolSet::Lean } else { ToolSet::Local };
        self.settings.claude.tools.unwrap_or(by_context)
    }

    /// Returns a note about what a lean session leaves out, or `None` if the session isn't lean.
    ///
    /// `is_claude`: whether the child is Claude Code, whose arguments lclaude sets.
    pub(crate) fn lean_note(&self, served: &Served, is_claude: bool) -> Option<String> {
        let what = match is_claude {
            true => "six tools, only MCP servers from --mcp-config, no auto memory".into(),
            false => format!("no auto memory; start claude with --tools {} --strict-mcp-config", claude::LEAN_TOOLS),
        };
        let why = match self.settings.claude.tools {
            Some(_) => "",
            None => ", because the context is small (--toolset local turns this off)",
        };
        (self.tools(served) == ToolSet::Lean).then(|| format!("lean: {what}{why}"))
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

/// Returns the path of the backend's log.
fn log(settings: &Settings, environment: &Environment, backend: &BackendPlan, runtime: &Path) -> PathBuf {
    let name = format!("{}.log", backend.id());
    if settings.throwaway == Some(true) {
        // A throwaway session writes nothing to the home directory.
        runtime.join(name)
    } else {
        environment.places.state.join("logs").join(name)
    }
}

/// Returns where the models run.
fn place(backend: &BackendPlan) -> Place {
    let forwarded = registry::backend(backend.kind).sends_prompts_to(backend);
    let remote = match &backend.service {
        Service::Running(url) if is_remote(url) => Some(format!("at {url}")),
        _ => None,
    };
    Place {
        server: remote.clone().unwrap_or_else(|| format!("on {}", backend.kind)),
        description: remote.clone().unwrap_or_else(|| format!("on this machine, by {}", backend.kind)),
        is_local: remote.is_none() && forwarded.is_none(),
    }
}
