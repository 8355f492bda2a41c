//! A look at an LM Studio that may run: nothing is started, loaded or changed.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    pick::pick,
    plan::{Studio, key},
};
use crate::base::error::{Code, Failure, Result};

/// Some calls of `lms`, each of which takes well under a second.
const LIMIT: Duration = Duration::from_secs(10);

/// What a running LM Studio says of a plan's models.
pub struct Seen {
    /// The port of its server, if that runs.
    pub port: Option<u16>,
    /// Tokens the main model was trained for, or why the models will not do.
    pub models: Result<Option<u32>>,
}

impl Studio {
    /// `None`: it does not run, and asking it anything more would start it.
    ///
    /// # Errors
    /// `Unavailable` for one that is too old, or answers what nobody understands.
    pub async fn look(&self, models: &[String]) -> Result<Option<Seen>> {
        self.in_time(self.look_at_leisure(models)).await
    }

    /// Nobody waits for ever for a look.
    ///
    /// # Errors
    /// `Unavailable` when time is up.
    pub(super) async fn in_time<T>(&self, look: impl Future<Output = Result<T>>) -> Result<T> {
        timeout(LIMIT, look).await.unwrap_or_else(|_| {
            let lms = self.lms.display();
            Err(Failure::new(Code::Unavailable, "LM Studio does not answer")
                .why(format!("{lms} has said nothing for {} seconds", LIMIT.as_secs()))
                .help(format!("run it by hand: {lms} daemon status"))
                .help("or end LM Studio, and start it again"))
        })
    }

    async fn look_at_leisure(&self, models: &[String]) -> Result<Option<Seen>> {
        if !self.runs().await? {
            return Ok(None);
        }
        self.check_version().await?;
        Ok(Some(Seen { port: self.port().await?, models: self.look_for(models).await }))
    }

    async fn look_for(&self, models: &[String]) -> Result<Option<u32>> {
        let mut trained = None;
        // The main one last: it is its context that is told.
        for name in models.iter().rev() {
            trained = pick(key(name), self.known().await?)?.max_context_length;
        }
        Ok(trained)
    }
}
