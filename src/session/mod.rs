//! One session: its plan, its child, and the run from the lease to the exit code.
//!
//! A session uses a backend through a lease and never owns the backend process. Nothing here parses the command line or
//! asks the user.

pub(crate) mod child;
pub(crate) mod dry_run;
mod hold;
mod left_out;
pub(crate) mod plan;
mod reading;
pub(crate) mod run;
pub(crate) mod said;
pub(crate) mod served_model;
pub(crate) mod verdict;
mod warmth;
pub(crate) mod watch;
