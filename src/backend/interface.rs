//! What a kind of backend has to answer: one trait, which each kind implements in a folder of its own.
//!
//! Ports, processes, retries, logs and leases are the keeper's business. A kind says what is started, when it is ready and
//! what it has; everything else has a default here.

use std::{path::PathBuf, process::ExitStatus};

use async_trait::async_trait;
use reqwest::Client;

use super::{
    diagnosis::{Cause, Diagnosis},
    figures::Figures,
    listed::Listed,
    names,
    plan::{BackendPlan, Endpoint},
    served::Served,
    starting::{Progress, Starting, Unfit},
    subject::Subject,
    undo::Undo,
};
use crate::{
    base::{
        check::{Check, State},
        context::DEFAULT_CONTEXT,
        environment::Environment,
        error::{Failure, Result},
    },
    config::{Kind, Settings},
    memory::Estimate,
};

/// A kind of backend. All of them are in the registry.
#[async_trait(?Send)]
pub trait Backend: Sync {
    /// Returns the kind, under the name that the configuration has for it.
    fn kind(&self) -> Kind;

    /// Returns its name as its makers write it.
    fn title(&self) -> &'static str;

    // --- Choosing it ---

    /// Whether lclaude looks for it on this machine when the user names no backend.
    fn is_detected(&self) -> bool {
        false
    }

    /// Whether a model of this name can only be one of this kind's, such as a file.
    fn alone_knows(&self, _model: &str) -> bool {
        false
    }

    /// Returns the program on this machine that a session needs, or `None` if it needs none or its plan looks for it.
    ///
    /// # Errors
    /// `Unavailable` when the program is missing.
    fn program(&self, settings: &Settings, environment: &Environment) -> Result<Option<PathBuf>>;

    /// Returns the command lines that can install it on this machine, the best first.
    fn install_commands(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns one of these without asking a package manager, which takes a second, or else where to download it.
    fn install_hint(&self) -> String {
        String::new()
    }

    /// Returns the model that is used when the user names none.
    fn default_model(&self) -> Option<&'static str> {
        None
    }

    /// Whether the configuration names the model under a key of this kind.
    fn has_own_model(&self, _settings: &Settings) -> bool {
        false
    }

    /// Returns the models that the user wants if all of them are on this machine. Starts nothing.
    ///
    /// # Errors
    /// `Config` when no model is named.
    fn installed_wanted(&self, _settings: &Settings, _environment: &Environment) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    /// Whether any model is on this machine. Starts nothing.
    fn has_models(&self, _settings: &Settings, _environment: &Environment) -> bool {
        false
    }

    // --- The plan ---

    /// Returns all that decides what runs.
    ///
    /// # Errors
    /// `Unavailable`, `Config`, `Usage` or `Refused` for what can be told to fail before anything starts.
    fn plan(&self, settings: &Settings, environment: &Environment) -> Result<BackendPlan>;

    /// Whether a model that it serves is the one that the user calls `name`.
    fn is_same_model(&self, served: &str, name: &str) -> bool {
        served == name
    }

    /// Returns the user's name for a model that it serves.
    fn model_name<'a>(&self, served: &'a str) -> &'a str {
        served
    }

    /// Returns the files of the user's that the plan loads.
    fn files(&self, _plan: &BackendPlan) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Whether a keeper starts or prepares it; a server that somebody else runs needs none.
    fn needs_keeper(&self) -> bool {
        true
    }

    /// Returns where the server is, for one that somebody else runs.
    ///
    /// # Errors
    /// `Config` when its address or token cannot be used.
    fn endpoint(&self, _settings: &Settings, _environment: &Environment) -> Result<Option<Endpoint>> {
        Ok(None)
    }

    /// Returns the key that its server has already, or `None` if each run gets a new one.
    fn token(&self, _environment: &Environment) -> Option<String> {
        None
    }

    /// Returns what the plan takes of memory, as far as that can be told without starting anything.
    fn estimate(&self, _settings: &Settings, _plan: &BackendPlan, _environment: &Environment) -> Option<Estimate> {
        None
    }

    /// Returns the bytes that it may keep of earlier prompts, with so many models.
    fn kept_prompts(&self, _settings: &Settings, _models: usize) -> u64 {
        0
    }

    /// Returns where prompts go, if that is not this machine although the server is.
    fn sends_prompts_to(&self, _plan: &BackendPlan) -> Option<String> {
        None
    }

    // --- Models ---

    /// Returns the models of the plan that have to be downloaded first.
    async fn missing(&self, _plan: &BackendPlan, _environment: &Environment) -> Vec<String> {
        Vec::new()
    }

    /// Whether the user has asked for this very model, so that it is downloaded without a question.
    fn is_download_wanted(&self, _settings: &Settings, _model: &str) -> bool {
        false
    }

    /// Returns the failure for a missing model, with the nearest one that is there, or `None` if only the running server
    /// can tell.
    fn not_installed(&self, _plan: &BackendPlan, _model: &str, _environment: &Environment) -> Option<Failure> {
        None
    }

    /// Whether it knows its models without being started.
    fn knows_models_offline(&self) -> bool {
        true
    }

    /// Returns its models, or `None` if it is not there and nobody asked for it. Starts nothing.
    ///
    /// # Errors
    /// When it cannot say what it has.
    async fn models(
        &self,
        settings: &Settings,
        environment: &Environment,
        is_asked: bool,
    ) -> Result<Option<Vec<Listed>>>;

    /// Returns the names of its models, for completion.
    async fn model_names(&self, _settings: &Settings, _environment: &Environment) -> Vec<String> {
        Vec::new()
    }

    // --- Running it ---

    /// Waits until it can answer, and returns what it has.
    async fn bring_up(&self, plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, Unfit>;

    /// Whether a server that is no child of ours still serves what it was brought up with.
    async fn is_still_there(&self, _plan: &BackendPlan, _client: &Client, _endpoint: &Endpoint) -> bool {
        true
    }

    /// Returns what a line of its log tells about its start.
    fn progress(&self, _line: &str) -> Option<Progress> {
        None
    }

    /// Returns how it is getting on, as far as it says so at once.
    async fn figures(&self, _client: &Client, _endpoint: &Endpoint, _models: &[String]) -> Figures {
        Figures::default()
    }

    /// Undoes what was done to a server that goes on without us; returns whether this kind understands it.
    async fn undo(&self, _undo: &Undo) -> bool {
        false
    }

    /// Returns the name of the lock under which only one keeper at a time may use it, for a program that cannot be set up
    /// for two.
    fn exclusive_lock(&self) -> Option<&'static str> {
        None
    }

    /// Returns what a start that ended early has to say of it.
    fn diagnosis(&self) -> Diagnosis {
        Diagnosis { reads_log: false, less_memory: "its own options say how much memory it takes" }
    }

    /// Returns the failure for a server that ended with `status` before it was ready.
    fn start_failure(&self, cause: Cause, plan: &BackendPlan, status: Option<ExitStatus>, log: Vec<String>) -> Failure {
        cause.failure(plan, &self.diagnosis(), status, log)
    }

    /// Returns what gives it more context than it has.
    fn more_context(&self, plan: &BackendPlan) -> String {
        format!("--context {}, or a model that was trained for more", plan.context.max(DEFAULT_CONTEXT))
    }

    // --- Doctor ---

    /// Returns what can be said of its programs and server. `worst`: the worst that a fault may count for, which is nothing
    /// for a backend that was not chosen.
    async fn check_installation(&self, subject: &Subject<'_>, worst: State) -> Vec<Check>;

    /// Returns what can be said of the plan's models without starting it.
    async fn check_models(&self, subject: &Subject<'_>, plan: &BackendPlan) -> Vec<Check>;

    /// Returns the names that the user wants, the main one first.
    ///
    /// # Errors
    /// `Config` when none is named and there is no default.
    fn wanted(&self, settings: &Settings) -> Result<Vec<String>> {
        names::wanted(settings, self.default_model())
    }
}
