//! The kind `lmstudio`.

use std::path::PathBuf;

use async_trait::async_trait;
use reqwest::Client;

use super::{
    checks, ending, listing, lms,
    plan::{self, DEFAULT_MODEL, TITLE},
    start,
};
use crate::{
    backend::{
        interface::Backend,
        listed::ListedModel,
        plan::{BackendPlan, Endpoint},
        served::Served,
        slots::PromptCache,
        starting::{Presence, StartError, Starting},
        subject::Subject,
        undo::Undo,
    },
    base::{
        check::{Check, Severity},
        environment::Environment,
        error::Result,
    },
    config::{Kind, Settings},
};

/// LM Studio.
pub(crate) struct LmStudioBackend;

#[async_trait(?Send)]
impl Backend for LmStudioBackend {
    fn kind(&self) -> Kind {
        Kind::LmStudio
    }

    fn title(&self) -> &'static str {
        TITLE
    }

    fn is_detected(&self) -> bool {
        true
    }

    fn program(&self, settings: &Settings, environment: &Environment) -> Result<Option<PathBuf>> {
        plan::program(settings, environment).map(Some)
    }

    fn install_commands(&self) -> Vec<String> {
        plan::install_commands()
    }

    fn install_hint(&self) -> String {
        plan::install_hint()
    }

    fn default_model(&self) -> Option<&'static str> {
        Some(DEFAULT_MODEL)
    }

    fn installed_wanted(&self, settings: &Settings, environment: &Environment) -> Result<Option<Vec<String>>> {
        let names = self.wanted(settings)?;
        Ok(names.iter().all(|name| plan::has(Some(name), environment)).then_some(names))
    }

    fn has_models(&self, _: &Settings, environment: &Environment) -> bool {
        plan::has(None, environment)
    }

    fn plan(&self, settings: &Settings, environment: &Environment) -> Result<BackendPlan> {
        plan::plan(settings, &self.wanted(settings)?, environment)
    }

    fn is_same_model(&self, served: &str, name: &str) -> bool {
        served == plan::identifier(name)
    }

    fn model_name<'a>(&self, served: &'a str) -> &'a str {
        plan::key(served)
    }

    fn token(&self, environment: &Environment) -> Option<String> {
        Some(plan::token(&environment.variables))
    }

    fn knows_models_offline(&self) -> bool {
        false
    }

    async fn models(
        &self,
        settings: &Settings,
        environment: &Environment,
        is_asked: bool,
    ) -> Result<Option<Vec<ListedModel>>> {
        if !is_asked && plan::program(settings, environment).is_err() {
            return Ok(None);
        }
        listing::list(settings, environment).await.map(Some)
    }

    async fn model_names(&self, settings: &Settings, environment: &Environment) -> Vec<String> {
        listing::names(settings, environment).await.unwrap_or_default()
    }

    fn prompt_cache(&self, _: &BackendPlan, _: &Environment) -> PromptCache {
        PromptCache::Memory
    }

    async fn bring_up(&self, plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, StartError> {
        start::bring_up(plan, starting).await
    }

    async fn presence(&self, plan: &BackendPlan, client: &Client, endpoint: &Endpoint) -> Presence {
        start::presence(plan, client, endpoint).await
    }

    async fn undo(&self, undo: &Undo) -> bool {
        match undo {
            // lclaude doesn't change an LM Studio that was started later.
            Undo::Tell { of: Some(of), .. } if !of.is_alive() => {}
            Undo::Tell { lms, arguments, .. } => lms::run_quietly(lms, arguments).await,
            Undo::End { lms, started } => ending::end(lms, *started).await,
            _ => return false,
        }
        true
    }

    fn exclusive_lock(&self) -> Option<&'static str> {
        // There is only one LM Studio, and two keepers could not both restore its state.
        Some("lmstudio.lock")
    }

    async fn check_installation(&self, subject: &Subject<'_>, worst: Severity) -> Vec<Check> {
        checks::installation(subject, worst)
    }

    async fn check_models(&self, subject: &Subject<'_>, plan: &BackendPlan) -> Vec<Check> {
        checks::models(subject, plan).await
    }
}
