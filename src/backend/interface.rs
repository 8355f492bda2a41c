//! The trait that each kind of backend implements.
//!
//! The keeper handles ports, processes, retries, logs and leases. A kind defines what is started, when it is ready and
//! which models it has; everything else has a default here.

use std::{ffi::OsStr, path::PathBuf, process::ExitStatus};

use async_trait::async_trait;
use reqwest::Client;

use super::{
    activity::ActivityEvent,
    context,
    diagnosis::{Cause, Diagnosis},
    figures::Figures,
    listed::ListedModel,
    log::LogExcerpt,
    names,
    plan::{BackendPlan, Endpoint},
    served::{FixedContext, Served},
    slots::PromptCache,
    starting::{Presence, Progress, StartError, Starting},
    subject::Subject,
    undo::Undo,
};
use crate::{
    base::{
        check::{Check, Severity},
        environment::Environment,
        error::{Failure, Result},
    },
    config::{Kind, Settings, Tier},
    memory::Estimate,
};

/// A kind of backend. The registry lists them all.
#[async_trait(?Send)]
pub(crate) trait Backend: Sync {
    /// Returns the kind.
    fn kind(&self) -> Kind;

    /// Returns its display name.
    fn title(&self) -> &'static str;

    // --- Selection ---

    /// Returns whether lclaude looks for it on this machine if no backend is configured.
    fn is_detected(&self) -> bool {
        false
    }

    /// Returns whether only this kind can run a model with this name, such as a file.
    fn claims_model(&self, _model: &str) -> bool {
        false
    }

    /// Returns the program that a session needs, or `None` if it needs none or `plan` looks for it.
    ///
    /// # Errors
    /// `Unavailable` if the program is missing.
    fn program(&self, settings: &Settings, environment: &Environment) -> Result<Option<PathBuf>>;

    /// Returns the commands that can install it on this machine, the best first.
    fn install_commands(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns one install command, or where to download it. Asks no package manager, since that takes a second.
    fn install_hint(&self) -> String {
        String::new()
    }

    /// Returns the model to use if none is configured.
    fn default_model(&self) -> Option<&'static str> {
        None
    }

    /// Returns whether a key other than `model` names the main model: by default, a main tier's own.
    fn names_main_model(&self, settings: &Settings) -> bool {
        [Tier::Sonnet, Tier::Opus].iter().any(|tier| settings.models.contains_key(tier))
    }

    /// Returns its own keys that name the main model, and that override `model` in the same file.
    fn main_model_keys(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns the wanted models if all of them are on this machine. Starts nothing.
    ///
    /// # Errors
    /// `Config` if no model is configured.
    fn installed_wanted(&self, _settings: &Settings, _environment: &Environment) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    /// Returns whether any model is on this machine. Starts nothing.
    fn has_models(&self, _settings: &Settings, _environment: &Environment) -> bool {
        false
    }

    // --- The plan ---

    /// Returns the plan: everything that determines what runs.
    ///
    /// # Errors
    /// `Unavailable`, `Config`, `Usage` or `Refused` for anything known to fail before the start.
    fn plan(&self, settings: &Settings, environment: &Environment) -> Result<BackendPlan>;

    /// Returns whether `name`, as the user writes it, means the served model `served`.
    fn is_same_model(&self, served: &str, name: &str) -> bool {
        served == name
    }

    /// Returns the name that the user writes for a served model.
    fn model_name<'a>(&self, served: &'a str) -> &'a str {
        served
    }

    /// Returns the user's files that the plan loads.
    fn files(&self, _plan: &BackendPlan) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Returns whether it needs a keeper to start or prepare it.
    fn needs_keeper(&self) -> bool {
        true
    }

    /// Returns the endpoint of a server that lclaude doesn't start.
    ///
    /// # Errors
    /// `Config` if its URL or token is invalid.
    fn endpoint(&self, _settings: &Settings, _environment: &Environment) -> Result<Option<Endpoint>> {
        Ok(None)
    }

    /// Returns the API key that its server already has, or `None` if each run gets a new one.
    fn token(&self, _environment: &Environment) -> Option<String> {
        None
    }

    /// Returns the memory that the plan needs, as far as that is known without starting anything.
    fn estimate(&self, _settings: &Settings, _plan: &BackendPlan, _environment: &Environment) -> Option<Estimate> {
        None
    }

    /// Returns the context that a model of the plan sets for itself, as far as that is known without a server.
    fn fixed_context(&self, _plan: &BackendPlan, _environment: &Environment, _model: &str) -> Option<FixedContext> {
        None
    }

    /// Returns the bytes that it may use to cache earlier prompts of `models` models.
    fn kept_prompts(&self, _settings: &Settings, _models: usize) -> u64 {
        0
    }

    /// Returns where prompts go if a server on this machine forwards them elsewhere.
    fn sends_prompts_to(&self, _plan: &BackendPlan) -> Option<String> {
        None
    }

    // --- Models ---

    /// Returns the plan's models that must be downloaded first.
    async fn missing(&self, _plan: &BackendPlan, _environment: &Environment) -> Vec<String> {
        Vec::new()
    }

    /// Returns whether the user named this model explicitly, so that it is downloaded without asking.
    fn is_download_wanted(&self, _settings: &Settings, _model: &str) -> bool {
        false
    }

    /// Returns the failure for a missing model, with the nearest installed name, or `None` if only the running server
    /// can tell.
    fn not_installed(&self, _plan: &BackendPlan, _model: &str, _environment: &Environment) -> Option<Failure> {
        None
    }

    /// Returns the failure for a missing model that is on this machine, but where the plan can't use it, or `None`. The
    /// user should know before they download it once more. May ask a server that is already running.
    async fn out_of_reach(
        &self,
        _settings: &Settings,
        _plan: &BackendPlan,
        _model: &str,
        _environment: &Environment,
    ) -> Option<Failure> {
        None
    }

    /// Returns whether it can list its models while it isn't running.
    fn knows_models_offline(&self) -> bool {
        true
    }

    /// Returns its models, or `None` if it isn't installed and `is_asked` is false: the user didn't select it. Starts
    /// nothing.
    ///
    /// # Errors
    /// Any failure to list them.
    async fn models(
        &self,
        settings: &Settings,
        environment: &Environment,
        is_asked: bool,
    ) -> Result<Option<Vec<ListedModel>>>;

    /// Returns the names of its models for shell completion.
    async fn model_names(&self, _settings: &Settings, _environment: &Environment) -> Vec<String> {
        Vec::new()
    }

    // --- Running ---

    /// Returns whether a program of this name is the server's own client, which needs no model to be loaded or even
    /// installed.
    fn is_client(&self, _name: &OsStr) -> bool {
        false
    }

    /// Returns the variables that make the server's own client use the server at this endpoint.
    fn client_variables(&self, _endpoint: &Endpoint) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Waits until it is ready, and returns what it serves.
    async fn bring_up(&self, plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, StartError>;

    /// Returns whether a server that isn't our child process still serves the plan's models.
    async fn presence(&self, _plan: &BackendPlan, _client: &Client, _endpoint: &Endpoint) -> Presence {
        Presence::Serving
    }

    /// Returns the progress that a log line reports, if any.
    fn progress(&self, _line: &str) -> Option<Progress> {
        None
    }

    /// Returns what a log line says about a request that the server is working on, if anything.
    fn activity(&self, _line: &str) -> Option<ActivityEvent> {
        None
    }

    /// Returns whether its log reports requests, so that their progress is known.
    fn reports_activity(&self) -> bool {
        false
    }

    /// Asks the server about the request that it is working on. This may take as long as a part of the prompt.
    async fn ask_activity(&self, _client: &Client, _endpoint: &Endpoint) -> Option<ActivityEvent> {
        None
    }

    /// Returns whether its log is all that is known about its start, so that every line counts as progress and is
    /// shown.
    fn shows_log(&self) -> bool {
        false
    }

    /// Returns what becomes of the beginning of a prompt that its server has read. Blocks: it may read a model's header.
    fn prompt_cache(&self, _plan: &BackendPlan, _environment: &Environment) -> PromptCache {
        PromptCache::Unknown
    }

    /// Returns its live figures, as far as it answers in time.
    async fn figures(&self, _client: &Client, _endpoint: &Endpoint, _models: &[String]) -> Figures {
        Figures::default()
    }

    /// Undoes a change to a server that keeps running. Returns whether this kind made the change.
    async fn undo(&self, _undo: &Undo) -> bool {
        false
    }

    /// Returns the name of the lock that limits it to one keeper at a time, for a program that can't be configured for
    /// two.
    fn exclusive_lock(&self) -> Option<&'static str> {
        None
    }

    /// Returns what this kind adds to the diagnosis of a failed start.
    fn diagnosis(&self) -> Diagnosis {
        Diagnosis { reads_log: false, less_memory: "set its own options to use less memory" }
    }

    /// Returns the failure for a server that exited with `status` before it was ready.
    fn start_failure(&self, cause: Cause, plan: &BackendPlan, status: Option<ExitStatus>, log: LogExcerpt) -> Failure {
        cause.failure(plan, &self.diagnosis(), status, log)
    }

    /// Returns the help for a context that is too small.
    fn more_context(&self, plan: &BackendPlan) -> String {
        context::larger(plan.context)
    }

    // --- Doctor ---

    /// Returns the checks of its programs and server. `worst` is the worst state that a fault may have: `Ok` for a
    /// backend that isn't selected.
    async fn check_installation(&self, subject: &Subject<'_>, worst: Severity) -> Vec<Check>;

    /// Returns the checks of the plan's models that need no start.
    async fn check_models(&self, subject: &Subject<'_>, plan: &BackendPlan) -> Vec<Check>;

    /// Returns the names of the configured models, the main one first.
    ///
    /// # Errors
    /// `Config` if none is configured and there is no default.
    fn wanted(&self, settings: &Settings) -> Result<Vec<String>> {
        names::wanted(settings, self.default_model())
    }
}
