//! A keeper that doesn't answer: how to name it, and what to do about it.
//!
//! It may be suspended, its machine may be swapping, or its disk may be slow. It is woken, and waited for. It is killed
//! only while no session uses its backend; otherwise the user decides.

use super::{files::PlanFiles, record::Record};
use crate::base::error::{Code, Failure};

/// Returns a name for the plan's keeper.
pub(crate) fn name(files: &PlanFiles) -> String {
    match Record::read(files) {
        Some(record) => format!("the backend's keeper (process {})", record.keeper.pid),
        None => "the backend's keeper".into(),
    }
}

/// Returns the failure for a session that needs this keeper.
pub(crate) fn failure(files: &PlanFiles) -> Failure {
    Failure::new(Code::Unavailable, format!("{} does not answer", name(files)))
        .cause("it was woken and waited for, and other sessions may be using its backend")
        .help("lclaude local stop --yes  # ends the backend and the sessions that use it")
}
