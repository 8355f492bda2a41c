//! Settings, a backend and Claude Code become one plan: all that will happen, as data, before anything does.

use crate::base::context::{CLAUDE_CODES_PROMPT, DEFAULT_CONTEXT, LEAST_CONTEXT, ROOMY_CONTEXT};
use std::{
    env, io,
    path::{Path, PathBuf},
};

use super::verdict::{Proven, Verdicts};
use crate::{
    backend::{self, BackendPlan, Chosen, Endpoint, Served, Service},
    base::{
        error::{Code, Failure, Result},
        paths::Places,
    },
    claude::{self, Routing},
    config::{Kind, Lifetime, Settings},
    keeper::Start,
};

#[derive(Debug)]
pub struct Plan {
    pub backend: BackendPlan,
    /// What programs are given so that they speak to it.
    pub routing: Routing,
    /// Why this backend, if nobody chose it.
    pub reason: Option<String>,
    /// Models that have to be downloaded first.
    pub missing: Vec<String>,
    /// Whether the user agreed to that.
    pub may_pull: bool,
    /// The project's file that chooses models without the user's word, for which nothing is downloaded.
    pub untrusted: Option<PathBuf>,
    /// The project's file, where it chose what runs.
    project: Option<PathBuf>,
    /// A server that somebody else runs.
    elsewhere: Option<Endpoint>,
    context_check: bool,
    lean: Option<bool>,
    lifetime: Lifetime,
    runtime: PathBuf,
    state: PathBuf,
    log: PathBuf,
}

impl Plan {
    /// # Errors
    /// Whatever is wrong is found out here, before anything is started, as far as looking can tell.
    pub fn new(settings: &Settings, places: &Places) -> Result<Self> {
        let here = here()?;
        enough_context(settings)?;
        let Chosen { plan: backend, tiers, reason } = backend::plan(settings, &places.home, &here)?;
        let routing = Routing::new(settings, tiers, describe(&backend))?;
        let missing = match backend.kind {
            Kind::LlamaCpp => backend::llamacpp::missing(settings, &backend.models, &places.home),
            Kind::Ollama => backend::ollama::missing(&backend, &places.home).unwrap_or_default(),
            _ => Vec::new(),
        };
        Ok(Plan {
            log: if settings.throwaway == Some(true) {
                // Nothing of such a session is in the home directory, not even this.
                places.runtime()?.join(format!("{}.log", backend.id()))
            } else {
                places.state.join("logs").join(format!("{}.log", backend.id()))
            },
            elsewhere: match backend.kind {
                Kind::Endpoint => Some(backend::endpoint::of(settings)?),
                _ => None,
            },
            reason,
            missing,
            may_pull: false,
            untrusted: settings.untrusted_choice().map(Path::to_owned),
            project: settings.project_choice(),
            context_check: settings.checks_context(),
            lean: settings.lean,
            routing,
            backend,
            lifetime: settings.lifetime.clone(),
            runtime: places.runtime()?.to_owned(),
            state: places.state.clone(),
        })
    }

    /// Where sockets, locks and a session's private files are.
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// The backend's log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// What a keeper of this backend has to know.
    pub fn start(&self) -> Start {
        Start {
            plan: self.backend.clone(),
            lifetime: self.lifetime.clone(),
            runtime: self.runtime.clone(),
            log: self.log.clone(),
            state: self.state.clone(),
            may_pull: self.may_pull && self.untrusted.is_none(),
            token: match self.backend.kind {
                Kind::LmStudio => Some(backend::lmstudio::token()),
                _ => None,
            },
            endpoint: self.elsewhere.clone(),
        }
    }

    /// What the backend serves if it gives all that is asked for and the model, `trained` for so many tokens, can take.
    pub fn expected(&self, trained: Option<u32>) -> Served {
        let asked = self.backend.context;
        let mut served = Served::new();
        served.grant(&self.backend.models[0], trained.map_or(asked, |trained| trained.min(asked)), trained);
        served
    }

    /// Asks a server that runs already, which alone knows what it has.
    pub async fn ask_what_is_missing(&mut self) {
        if let (Kind::Ollama, Service::Running(url)) = (self.backend.kind, &self.backend.service) {
            self.missing = backend::ollama::missing_at(url, &self.backend).await;
        }
    }

    /// What the user should know before Claude Code starts.
    ///
    /// # Errors
    /// `Unavailable` when the context is too small for Claude Code to work at all.
    pub fn judge(&self, served: &Served) -> Result<Vec<String>> {
        let model = &self.backend.models[0];
        let mut words = Vec::new();
        let by = self.project.as_ref().map(|file| format!(", as {} chose", file.display())).unwrap_or_default();
        if let Service::Running(url) = &self.backend.service
            && backend::endpoint::is_remote(url)
        {
            words.push(format!("your code goes to {url}{by}"));
        }
        if let Some(model) = backend::ollama::sends_away(&self.backend) {
            words.push(format!("your code goes to Ollama's servers, where {model} runs{by}"));
        }
        if !served.tools {
            words.push(format!(
                "warning: {model} cannot call tools, so Claude Code can talk but neither read nor write files\n  \
                 help: choose a model whose chat template has tools"
            ));
        }
        if served.context < LEAST_CONTEXT && self.context_check {
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
        Verdicts::read(&self.state).of(&Proven::of(&self.backend, claude))?.warning()
    }

    /// Whether Claude Code gets a small tool set and prompt: where the user says so, or says nothing and the context is
    /// small.
    pub fn is_lean(&self, served: &Served) -> bool {
        self.lean.unwrap_or(served.context < ROOMY_CONTEXT)
    }

    /// What is left out, if anything is. `whole`: Claude Code's arguments are ours to give, not only its variables.
    pub fn lean_words(&self, served: &Served, whole: bool) -> Option<String> {
        let what = match whole {
            true => "six tools, no MCP servers but --mcp-config's, no auto memory".into(),
            false => format!("no auto memory; a claude in it wants --tools {} --strict-mcp-config", claude::LEAN_TOOLS),
        };
        let why = if self.lean == Some(true) { "" } else { ", since the context is small (lean = false keeps all)" };
        self.is_lean(served).then(|| format!("lean: {what}{why}"))
    }

    fn more_context(&self, served: &Served) -> String {
        if let Some(known) = &served.more_context {
            return known.clone();
        }
        if let Some(trained) = served.trained.filter(|trained| *trained <= served.context) {
            return another_model(trained);
        }
        match (self.backend.kind, &self.backend.service) {
            (Kind::Ollama, Service::Running(_)) => {
                format!(
                    "OLLAMA_CONTEXT_LENGTH={} ollama serve, or [ollama] instance = \"private\"",
                    self.backend.context
                )
            }
            (Kind::Endpoint, _) => "start that server with a longer context, or choose another model".into(),
            _ => {
                format!("--context {}, or a model that was trained for more", self.backend.context.max(DEFAULT_CONTEXT))
            }
        }
    }
}

fn least() -> String {
    format!("Claude Code's own prompt and tools take about {CLAUDE_CODES_PROMPT}, so {LEAST_CONTEXT} is the least")
}

/// # Errors
/// `Config` or `Usage` for a context in which Claude Code could not work at all.
pub fn enough_context(settings: &Settings) -> Result<()> {
    if settings.context() >= LEAST_CONTEXT || !settings.checks_context() {
        return Ok(());
    }
    let source = settings.source("context");
    Err(Failure::new(source.code(), format!("a context of {} tokens is too small", settings.context()))
        .why(format!("{source} asks for it; {}", least()))
        .help(format!("--context {DEFAULT_CONTEXT}"))
        .help("context_check = false in the configuration starts it all the same"))
}

/// # Errors
/// `Unavailable` for a model that was trained for fewer tokens than Claude Code needs, however many are asked for.
pub fn enough_trained(settings: &Settings, model: &str, trained: Option<u32>) -> Result<()> {
    match trained {
        Some(trained) if trained < LEAST_CONTEXT && settings.checks_context() => {
            Err(Failure::new(Code::Unavailable, format!("{model} has too small a context for Claude Code"))
                .why(format!("it was trained for {trained} tokens; {}", least()))
                .help(another_model(trained))
                .help("context_check = false in the configuration starts it all the same"))
        }
        _ => Ok(()),
    }
}

fn another_model(trained: u32) -> String {
    format!("--model NAME, one that was trained for more than {trained} tokens; lclaude local models shows which were")
}

/// Where a model runs, for the picker.
fn describe(backend: &BackendPlan) -> String {
    match &backend.service {
        Service::Running(url) if backend::endpoint::is_remote(url) => format!("at {url}"),
        _ => format!("on this machine, by {}", backend.kind),
    }
}

pub fn here() -> Result<PathBuf> {
    env::current_dir().map_err(|error: io::Error| {
        Failure::new(Code::Config, "the working directory cannot be used")
            .why(error)
            .help("cd to a directory that exists")
    })
}
