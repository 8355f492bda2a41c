//! The end of a backend that won't be restarted.

use crate::{backend::MissingModel, base::error::Failure};

/// Why a backend is down for good.
pub(crate) enum Down {
    Failed(Failure),
    ModelMissing(MissingModel),
}

impl Down {
    /// Returns what happened, for the log.
    pub(crate) fn what(&self) -> &str {
        match self {
            Down::Failed(failure) | Down::ModelMissing(MissingModel { failure, .. }) => &failure.what,
        }
    }
}

impl From<Failure> for Down {
    fn from(failure: Failure) -> Self {
        Down::Failed(failure)
    }
}

impl From<Down> for Failure {
    fn from(down: Down) -> Self {
        match down {
            Down::Failed(failure) | Down::ModelMissing(MissingModel { failure, .. }) => failure,
        }
    }
}
