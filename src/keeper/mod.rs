//! The keeper process and the sessions' side of it: leases, the protocol, and the runtime files they share.
//!
//! A keeper owns one backend and outlives any single session. All it knows about Claude Code is which process to end if
//! a session dies. Nothing here reads the configuration or the command line: a plan arrives complete.

mod ask;
mod files;
mod lease;
mod leases;
mod link;
mod log;
mod protocol;
mod report;
mod run;
mod start;
mod supervise;
mod sweep;
mod timeouts;

pub use ask::{StopOutcome, find_other_versions, list_backends, query_backend, stop};
pub use lease::Lease;
pub use link::SUBCOMMAND;
pub use protocol::{FromKeeper as Event, Ready};
pub use report::{Report, SessionInfo, State};
pub use run::{is_up, run};
pub use start::StartRequest;
