//! The kind `command`.

use std::path::PathBuf;

use async_trait::async_trait;

use super::plan;
use crate::{
    backend::{
        checks,
        interface::Backend,
        listed::Listed,
        plan::BackendPlan,
        served::Served,
        starting::{Starting, Unfit},
        subject::Subject,
    },
    base::{
        check::{Check, State},
        environment::Environment,
        error::Result,
    },
    config::{Kind, Settings},
};

/// A server that a command line of the user's starts.
pub struct Command;

#[async_trait(?Send)]
impl Backend for Command {
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

    async fn models(&self, settings: &Settings, _: &Environment, is_asked: bool) -> Result<Option<Vec<Listed>>> {
        if !is_asked && !settings.describes(self.kind()) {
            return Ok(None);
        }
        // Only the server itself knows what it has, and it does not run; so this is what it may be asked for.
        let mut listed: Vec<Listed> = Vec::new();
        for (_, name) in settings.model_names() {
            if !listed.iter().any(|known| known.name == name) {
                listed.push(Listed::named(name));
            }
        }
        Ok(Some(listed))
    }

    async fn bring_up(&self, plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, Unfit> {
        plan::bring_up(plan, starting).await
    }

    async fn check_installation(&self, subject: &Subject<'_>, _: State) -> Vec<Check> {
        vec![checks::configured(self, subject, "[command] run is set")]
    }

    async fn check_models(&self, _: &Subject<'_>, plan: &BackendPlan) -> Vec<Check> {
        vec![checks::found(plan, ""), checks::later("tools")]
    }
}
