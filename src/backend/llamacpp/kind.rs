//! The kind `llamacpp`.

use std::path::PathBuf;

use async_trait::async_trait;
use reqwest::Client;

use super::{activity, cache, checks, memory, model, plan, program, snapshots, start};
use crate::{
    backend::{
        activity::ActivityEvent,
        diagnosis::Diagnosis,
        figures::Figures,
        install,
        interface::Backend,
        listed::ListedModel,
        metrics,
        plan::{BackendPlan, Endpoint},
        served::Served,
        slots::PromptCache,
        starting::{Progress, StartError, Starting},
        subject::Subject,
    },
    base::{
        check::{Check, Severity},
        environment::Environment,
        error::{Failure, Result},
        pattern::is_gguf,
    },
    config::{Kind, Settings},
    memory::Estimate,
};

/// llama.cpp's `llama-server`.
pub(crate) struct LlamaCppBackend;

#[async_trait(?Send)]
impl Backend for LlamaCppBackend {
    fn kind(&self) -> Kind {
        Kind::LlamaCpp
    }

    fn title(&self) -> &'static str {
        "llama.cpp"
    }

    fn is_detected(&self) -> bool {
        true
    }

    fn claims_model(&self, model: &str) -> bool {
        is_gguf(model)
    }

    fn program(&self, settings: &Settings, _: &Environment) -> Result<Option<PathBuf>> {
        program::find(settings).map(Some)
    }

    fn install_commands(&self) -> Vec<String> {
        let mut commands = program::install_commands();
        commands.extend(install::packages("llama.cpp", "llama-cpp", "llama.cpp"));
        commands
    }

    fn install_hint(&self) -> String {
        program::install_hint()
    }

    fn default_model(&self) -> Option<&'static str> {
        Some(model::DEFAULT_MODEL)
    }

    fn names_main_model(&self, settings: &Settings) -> bool {
        settings.llamacpp.gguf.is_some() || settings.llamacpp.hf.is_some()
    }

    fn main_model_keys(&self) -> &'static [&'static str] {
        &["llamacpp.gguf", "llamacpp.hf"]
    }

    fn installed_wanted(&self, settings: &Settings, environment: &Environment) -> Result<Option<Vec<String>>> {
        let Ok(models) = model::models(settings, environment) else {
            return Ok(None);
        };
        let names: Vec<String> = models.iter().map(model::ModelSource::name).collect();
        Ok(model::to_be_downloaded(&names, environment).is_empty().then_some(names))
    }

    fn has_models(&self, _: &Settings, environment: &Environment) -> bool {
        !cache::all(environment).is_empty()
    }

    fn plan(&self, settings: &Settings, environment: &Environment) -> Result<BackendPlan> {
        plan::plan(settings, environment)
    }

    fn is_same_model(&self, served: &str, name: &str) -> bool {
        served == name || served == model::served_name(name.as_ref())
    }

    fn files(&self, plan: &BackendPlan) -> Vec<PathBuf> {
        plan::files(plan)
    }

    fn estimate(&self, settings: &Settings, _: &BackendPlan, environment: &Environment) -> Option<Estimate> {
        memory::estimate(settings, environment)
    }

    fn kept_prompts(&self, settings: &Settings, models: usize) -> u64 {
        memory::kept_prompts(settings, models)
    }

    async fn missing(&self, plan: &BackendPlan, environment: &Environment) -> Vec<String> {
        model::to_be_downloaded(&plan.models, environment)
    }

    fn is_download_wanted(&self, settings: &Settings, model: &str) -> bool {
        // The default model has 18.5 GB, so it is downloaded only if the user agrees.
        settings.model.is_some() || self.names_main_model(settings) || model != model::DEFAULT_MODEL
    }

    fn not_installed(&self, _: &BackendPlan, model: &str, _: &Environment) -> Option<Failure> {
        (model == model::DEFAULT_MODEL).then(model::none_chosen)
    }

    async fn models(
        &self,
        settings: &Settings,
        environment: &Environment,
        is_asked: bool,
    ) -> Result<Option<Vec<ListedModel>>> {
        memory::list(settings, environment, is_asked).map(Some)
    }

    async fn bring_up(&self, plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, StartError> {
        start::bring_up(plan, starting).await
    }

    fn progress(&self, line: &str) -> Option<Progress> {
        start::progress(line)
    }

    fn prompt_cache(&self, plan: &BackendPlan, environment: &Environment) -> PromptCache {
        snapshots::prompt_cache(plan, environment)
    }

    fn activity(&self, line: &str) -> Option<ActivityEvent> {
        activity::parse(line)
    }

    fn reports_activity(&self) -> bool {
        true
    }

    async fn ask_activity(&self, client: &Client, endpoint: &Endpoint) -> Option<ActivityEvent> {
        activity::ask(client, endpoint).await
    }

    async fn figures(&self, client: &Client, endpoint: &Endpoint, models: &[String]) -> Figures {
        metrics::figures(client, endpoint, models).await
    }

    fn diagnosis(&self) -> Diagnosis {
        Diagnosis {
            reads_log: true,
            less_memory: "set [llamacpp] cache_type_k = \"q8_0\" and cache_type_v = \"q8_0\" to halve the memory of the context",
        }
    }

    async fn check_installation(&self, subject: &Subject<'_>, worst: Severity) -> Vec<Check> {
        checks::installation(self, subject, worst).await
    }

    async fn check_models(&self, subject: &Subject<'_>, plan: &BackendPlan) -> Vec<Check> {
        checks::models(self, subject, plan).await
    }
}
