//! The kind `endpoint`.

use std::path::PathBuf;

use async_trait::async_trait;
use reqwest::Client;

use super::plan;
use crate::{
    backend::{
        checks,
        figures::Figures,
        interface::Backend,
        listed::ListedModel,
        metrics,
        plan::{self as plans, BackendPlan},
        served::Served,
        starting::{StartError, Starting},
        subject::{AREA, Subject},
        visit::visit,
    },
    base::{
        check::{Check, Severity},
        environment::Environment,
        error::Result,
    },
    config::{Kind, Settings},
};

/// A server that lclaude doesn't start.
pub(crate) struct EndpointBackend;

#[async_trait(?Send)]
impl Backend for EndpointBackend {
    fn kind(&self) -> Kind {
        Kind::Endpoint
    }

    fn title(&self) -> &'static str {
        "your endpoint"
    }

    fn program(&self, _: &Settings, _: &Environment) -> Result<Option<PathBuf>> {
        Ok(None)
    }

    fn plan(&self, settings: &Settings, _: &Environment) -> Result<BackendPlan> {
        // Without a URL, no model helps.
        plan::url(settings)?;
        plan::plan(settings, &self.wanted(settings)?)
    }

    fn needs_keeper(&self) -> bool {
        false
    }

    fn endpoint(&self, settings: &Settings, environment: &Environment) -> Result<Option<plans::Endpoint>> {
        plan::of(settings, &environment.variables).map(Some)
    }

    async fn models(
        &self,
        settings: &Settings,
        environment: &Environment,
        is_asked: bool,
    ) -> Result<Option<Vec<ListedModel>>> {
        if !is_asked && !settings.describes(self.kind()) {
            return Ok(None);
        }
        plan::models(settings, &environment.variables).await.map(Some)
    }

    async fn bring_up(&self, plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, StartError> {
        plan::bring_up(plan, starting).await
    }

    fn more_context(&self, _: &BackendPlan) -> String {
        "restart that server with a longer context, or choose another model".into()
    }

    async fn figures(&self, client: &Client, endpoint: &plans::Endpoint, models: &[String]) -> Figures {
        metrics::figures(client, endpoint, models).await
    }

    async fn check_installation(&self, subject: &Subject<'_>, _: Severity) -> Vec<Check> {
        vec![checks::configured(self, subject, "[endpoint] url is set")]
    }

    async fn check_models(&self, subject: &Subject<'_>, plan: &BackendPlan) -> Vec<Check> {
        let visited = match plan::of(subject.settings, &subject.environment.variables) {
            Ok(endpoint) => visit(self, plan, &endpoint).await.map(|served| (endpoint, served)),
            Err(failure) => Err(failure),
        };
        match visited {
            Ok((endpoint, Served { context, trained, .. })) => vec![
                Check::ok(AREA, "endpoint server", format!("{} answers and accepts the token", endpoint.url)),
                checks::models_found(plan, ""),
                checks::context(subject, plan, &Served::of_main(plan, trained.or(Some(context)))),
            ],
            Err(failure) => vec![subject.failed("endpoint server", failure)],
        }
    }
}
