//! The kind `command`.

use std::path::PathBuf;

use async_trait::async_trait;
use reqwest::Client;

use super::{plan, stop};
use crate::{
    backend::{
        checks,
        figures::Figures,
        interface::Backend,
        listed::ListedModel,
        metrics,
        plan::{BackendPlan, Endpoint},
        served::Served,
        slots::PromptCache,
        starting::{StartError, Starting},
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

/// A server that the user's own command starts.
pub(crate) struct CommandBackend;

#[async_trait(?Send)]
impl Backend for CommandBackend {
    fn kind(&self) -> Kind {
        Kind::Command
    }

    fn title(&self) -> &'static str {
        "your command"
    }

    fn program(&self, _: &Settings, _: &Environment) -> Result<Option<PathBuf>> {
        Ok(None)
    }

    fn plan(&self, settings: &Settings, _: &Environment) -> Result<BackendPlan> {
        plan::plan(settings, &self.wanted(settings)?)
    }

    async fn models(&self, settings: &Settings, _: &Environment, is_asked: bool) -> Result<Option<Vec<ListedModel>>> {
        if !is_asked && !settings.describes(self.kind()) {
            return Ok(None);
        }
        // Only the running server knows its models, so this lists the configured ones.
        let mut listed: Vec<ListedModel> = Vec::new();
        for (_, name) in settings.model_names() {
            if !listed.iter().any(|known| known.name == name) {
                listed.push(ListedModel::named(name));
            }
        }
        Ok(Some(listed))
    }

    fn prompt_cache(&self, _: &BackendPlan, _: &Environment) -> PromptCache {
        PromptCache::Memory
    }

    async fn bring_up(&self, plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, StartError> {
        plan::bring_up(plan, starting).await
    }

    fn shows_log(&self) -> bool {
        true
    }

    async fn undo(&self, undo: &Undo) -> bool {
        let Undo::Stop { command, endpoint, log } = undo else {
            return false;
        };
        stop::run(command, endpoint, log).await;
        true
    }

    async fn figures(&self, client: &Client, endpoint: &Endpoint, models: &[String]) -> Figures {
        metrics::figures(client, endpoint, models).await
    }

    async fn check_installation(&self, subject: &Subject<'_>, _: Severity) -> Vec<Check> {
        vec![checks::configured(self, subject, "[command] run is set")]
    }

    async fn check_models(&self, _: &Subject<'_>, plan: &BackendPlan) -> Vec<Check> {
        vec![checks::models_found(plan, ""), checks::known_later("tools")]
    }
}
