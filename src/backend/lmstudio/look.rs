//! Queries LM Studio without starting, loading or changing anything.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    pick::pick,
    plan::{Studio, key},
};
use crate::base::{
    error::{Code, Failure, Result},
    ui,
};

/// The timeout of a few `lms` commands, each of which takes well under a second.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// What a running LM Studio reports about a plan.
pub(crate) struct StudioView {
    /// The port of its server, if that is running.
    pub port: Option<u16>,
    /// The tokens that the main model was trained for, or the failure if a model can't be used.
    pub models: Result<Option<u32>>,
}

impl Studio {
    /// Returns what LM Studio reports, or `None` if it isn't running: any further command would start it.
    ///
    /// # Errors
    /// `Unavailable` if it is too old, doesn't answer or its output isn't recognized.
    pub(crate) async fn look(&self, models: &[String]) -> Result<Option<StudioView>> {
        self.in_time(self.look_untimed(models)).await
    }

    /// Awaits a query with a timeout.
    ///
    /// # Errors
    /// `Unavailable` on timeout.
    pub(super) async fn in_time<T>(&self, look: impl Future<Output = Result<T>>) -> Result<T> {
        timeout(QUERY_TIMEOUT, look).await.unwrap_or_else(|_| {
            Err(Failure::new(Code::Unavailable, "LM Studio does not answer")
                .cause(format!("{} did not exit within {} seconds", self.lms.display(), QUERY_TIMEOUT.as_secs()))
                .help(format!("{} daemon status", ui::quote_path(&self.lms)))
                .help("restart LM Studio"))
        })
    }

    async fn look_untimed(&self, models: &[String]) -> Result<Option<StudioView>> {
        if !self.is_running().await? {
            return Ok(None);
        }
        self.check_version().await?;
        Ok(Some(StudioView { port: self.port().await?, models: self.look_for(models).await }))
    }

    async fn look_for(&self, models: &[String]) -> Result<Option<u32>> {
        let mut trained = None;
        // The main model comes last, so that its context is returned.
        for name in models.iter().rev() {
            trained = pick(key(name), self.all_models().await?)?.max_context_length;
        }
        Ok(trained)
    }
}
