//! One session: its plan, its child, and the run from the lease to the exit code.
//!
//! A session uses a backend through a lease and never owns the backend process. Nothing here parses the command line or
//! asks the user.

pub mod child;
pub mod dry_run;
pub mod plan;
pub mod run;
pub mod verdict;
