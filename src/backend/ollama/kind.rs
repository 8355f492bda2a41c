//! The kind `ollama`.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use reqwest::Client;

use super::{blobs::Blobs, checks, listing, memory, models, plan, server::Server, start, store, variables};
use crate::{
    backend::{
        context,
        diagnosis::Diagnosis,
        figures::{Figures, answer_in_time},
        http,
        interface::Backend,
        listed::ListedModel,
        plan::{BackendPlan, Endpoint, Service},
        served::{FixedContext, Served},
        slots::PromptCache,
        starting::{Presence, StartError, Starting},
        subject::Subject,
        undo::Undo,
    },
    base::{
        check::{Check, Severity},
        environment::Environment,
        error::{Failure, Result},
    },
    config::{Kind, OllamaInstance, Settings},
    memory::Estimate,
};

/// Ollama.
pub(crate) struct OllamaBackend;

#[async_trait(?Send)]
impl Backend for OllamaBackend {
    fn kind(&self) -> Kind {
        Kind::Ollama
    }

    fn title(&self) -> &'static str {
        "Ollama"
    }

    fn is_detected(&self) -> bool {
        true
    }

    fn program(&self, settings: &Settings, environment: &Environment) -> Result<Option<PathBuf>> {
        match settings.ollama.instance {
            OllamaInstance::Shared => Ok(None),
            OllamaInstance::Private => plan::program(settings, environment.home()).map(Some),
        }
    }

    fn install_commands(&self) -> Vec<String> {
        plan::install_commands()
    }

    fn install_hint(&self) -> String {
        plan::install_hint()
    }

    fn default_model(&self) -> Option<&'static str> {
        Some(plan::DEFAULT_MODEL)
    }

    fn installed_wanted(&self, settings: &Settings, environment: &Environment) -> Result<Option<Vec<String>>> {
        let names = self.wanted(settings)?;
        let stored = store::all(settings, environment);
        let has = |name: &String| stored.iter().any(|stored| store::is_same(stored, name));
        Ok(names.iter().all(has).then_some(names))
    }

    fn has_models(&self, settings: &Settings, environment: &Environment) -> bool {
        !store::all(settings, environment).is_empty()
    }

    fn plan(&self, settings: &Settings, environment: &Environment) -> Result<BackendPlan> {
        plan::plan(settings, &self.wanted(settings)?, environment)
    }

    fn is_same_model(&self, served: &str, name: &str) -> bool {
        store::is_same(served, name)
    }

    fn estimate(&self, settings: &Settings, plan: &BackendPlan, environment: &Environment) -> Option<Estimate> {
        memory::estimate(settings, plan, environment)
    }

    fn fixed_context(&self, plan: &BackendPlan, environment: &Environment, model: &str) -> Option<FixedContext> {
        let place = store::of(plan, environment.home())?;
        start::fixed(model, Blobs::of(&place, model)?.fixed_context(), plan.context)
    }

    fn sends_prompts_to(&self, plan: &BackendPlan) -> Option<String> {
        let model = models::in_cloud(plan)?;
        Some(format!("Ollama's servers, where {model} runs"))
    }

    async fn missing(&self, plan: &BackendPlan, environment: &Environment) -> Vec<String> {
        match &plan.service {
            Service::Running(url) => models::missing_at(url, plan).await,
            _ => models::missing(plan, environment),
        }
    }

    fn not_installed(&self, plan: &BackendPlan, model: &str, environment: &Environment) -> Option<Failure> {
        models::not_installed(plan, model, environment)
    }

    async fn out_of_reach(
        &self,
        settings: &Settings,
        plan: &BackendPlan,
        model: &str,
        environment: &Environment,
    ) -> Option<Failure> {
        models::out_of_reach(settings, plan, model, environment).await
    }

    async fn models(
        &self,
        settings: &Settings,
        environment: &Environment,
        is_asked: bool,
    ) -> Result<Option<Vec<ListedModel>>> {
        if !is_asked && plan::program(settings, environment.home()).is_err() {
            return Ok(None);
        }
        listing::list(settings, environment).await.map(Some)
    }

    async fn model_names(&self, settings: &Settings, environment: &Environment) -> Vec<String> {
        models::installed(settings, environment)
    }

    fn is_client(&self, name: &OsStr) -> bool {
        Path::new(name).file_name() == Some(OsStr::new("ollama"))
    }

    fn client_variables(&self, endpoint: &Endpoint) -> Vec<(&'static str, String)> {
        vec![(variables::ADDRESS, endpoint.url.clone())]
    }

    fn prompt_cache(&self, _: &BackendPlan, _: &Environment) -> PromptCache {
        PromptCache::Memory
    }

    async fn bring_up(&self, plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, StartError> {
        start::bring_up(plan, starting).await
    }

    async fn presence(&self, _: &BackendPlan, client: &Client, endpoint: &Endpoint) -> Presence {
        Server { client, url: &endpoint.url }.presence().await
    }

    async fn figures(&self, client: &Client, endpoint: &Endpoint, models: &[String]) -> Figures {
        match answer_in_time(models::in_memory(client, &endpoint.url, models)).await {
            Some((size, card, names)) => {
                Figures { model: Some((size, card)), loaded: Some(names), ..Figures::default() }
            }
            None => Figures::default(),
        }
    }

    async fn undo(&self, undo: &Undo) -> bool {
        let Undo::Unload { url, model } = undo else {
            return false;
        };
        Server { client: &http::client_for(url), url }.unload(model).await;
        true
    }

    fn diagnosis(&self) -> Diagnosis {
        Diagnosis { reads_log: false, less_memory: plan::SMALLER_CACHE }
    }

    fn more_context(&self, plan: &BackendPlan) -> String {
        match plan.service {
            Service::Running(_) => start::larger_in_shared(&plan.models[0], plan.context),
            _ => context::larger(plan.context),
        }
    }

    async fn check_installation(&self, subject: &Subject<'_>, worst: Severity) -> Vec<Check> {
        checks::installation(subject, worst).await
    }

    async fn check_models(&self, subject: &Subject<'_>, plan: &BackendPlan) -> Vec<Check> {
        checks::models(self, subject, plan).await
    }
}
