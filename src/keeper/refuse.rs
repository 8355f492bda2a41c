//! Refuses sessions for which the keeper has no descriptors. It keeps some for its own work, such as a restart of the
//! backend, and for `status` and `stop`.

use std::os::fd::AsFd;

use crate::base::{
    error::{Code, Failure},
    limits,
};

/// Returns the failure for a session on this connection, or `None` if it can be served.
pub(crate) fn refusal(connection: impl AsFd) -> Option<Failure> {
    let error = limits::refuse_connection(connection)?;
    let mut failure = Failure::new(Code::Unavailable, "too many sessions use this backend").cause(error);
    // A higher limit would only help the next keeper.
    failure.help = vec!["lclaude local status  # shows the sessions; end one of them".into()];
    Some(failure)
}
