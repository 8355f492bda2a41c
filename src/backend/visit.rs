//! Checks a server that lclaude doesn't start.

use tokio::sync::{Notify, mpsc};

use super::{
    http::client_for,
    interface::Backend,
    plan::{BackendPlan, Endpoint},
    served::Served,
    starting::{MissingModel, Noted, StartError, Starting, unexpected_response},
};
use crate::base::{error::Result, process::Listener, variables::Variables};

/// Returns what a running server serves, if it fits `plan`.
///
/// # Errors
/// `Unavailable` if it doesn't answer or can't be used.
pub(crate) async fn visit(backend: &dyn Backend, plan: &BackendPlan, endpoint: &Endpoint) -> Result<Served> {
    let (progress, _) = mpsc::unbounded_channel();
    let (client, new_log_line, variables) = (client_for(&endpoint.url), Notify::new(), Variables::read());
    // Nothing is changed, so there is nothing to undo.
    let note = |_| -> Noted<'_> { Box::pin(std::future::ready(())) };
    let starting = Starting {
        client: &client,
        endpoint,
        variables: &variables,
        progress,
        new_log_line: &new_log_line,
        may_pull: false,
        note: &note,
        listener: &|| Listener::Ours,
    };
    backend.bring_up(plan, &starting).await.map_err(|unfit| match unfit {
        StartError::Failed(failure) | StartError::ModelMissing(MissingModel { failure, .. }) => failure,
        StartError::NotOurs => unexpected_response(&plan.name(), &endpoint.url),
    })
}
