//! A look at a server that somebody else runs.

use tokio::sync::{Notify, mpsc};

use super::{
    http::client_for,
    interface::Backend,
    plan::{BackendPlan, Endpoint},
    served::Served,
    starting::{Starting, Unfit, unexpected_response},
};
use crate::base::{error::Result, variables::Variables};

/// Returns what a server has that somebody else runs, if it will do for `plan`.
///
/// # Errors
/// `Unavailable` when it does not answer, or cannot be used.
pub async fn visit(backend: &dyn Backend, plan: &BackendPlan, endpoint: &Endpoint) -> Result<Served> {
    let (progress, _) = mpsc::unbounded_channel();
    let (client, line_came, variables) = (client_for(&endpoint.url), Notify::new(), Variables::default());
    // Nothing is done to it.
    let note = |_| {};
    let starting = Starting {
        client: &client,
        endpoint,
        variables: &variables,
        progress,
        line_came: &line_came,
        may_pull: false,
        note: &note,
    };
    backend.bring_up(plan, &starting).await.map_err(|unfit| match unfit {
        Unfit::Failed(failure) => failure,
        Unfit::Stranger => unexpected_response(&plan.name(), &endpoint.url),
    })
}
