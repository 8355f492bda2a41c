//! Why setup ends early.

use crate::base::error::Failure;

/// Why setup ended early.
pub(crate) enum SetupError {
    Failed(Failure),
    Signalled,
}

impl From<Failure> for SetupError {
    fn from(failure: Failure) -> Self {
        SetupError::Failed(failure)
    }
}
