//! The keeper process and the sessions' side of it: leases, the protocol, and the runtime files they share.
//!
//! A keeper owns one backend and outlives any single session. All it knows about Claude Code is which process to end if
//! a session dies. Nothing here reads the configuration or the command line: a plan arrives complete.

mod ask;
mod dead_session;
mod describe;
mod down;
mod ending;
mod external;
mod files;
mod glance;
mod guard;
mod lease;
mod leases;
mod link;
mod lock;
mod log;
mod log_file;
mod panic;
mod port;
mod progress;
mod protocol;
mod record;
mod refuse;
mod report;
mod requests;
mod restore;
mod run;
mod serve;
mod silent;
mod spawn;
mod start;
mod state;
mod supervise;
mod sweep;
mod takeover;
mod timeouts;
mod warm;

pub(crate) use ask::{StopOutcome, find_other_versions, list_backends, query_backend, stop};
pub(crate) use dead_session::child_file;
pub(crate) use external::list as list_external;
pub(crate) use glance::glance;
pub(crate) use lease::Lease;
pub(crate) use link::SUBCOMMAND;
pub(crate) use protocol::{FromKeeper as Event, Ready};
pub(crate) use report::{Activity, Glance, Phase, Report, SessionInfo, State};
pub(crate) use run::{is_up, place, run, socket};
pub(crate) use start::StartRequest;
pub(crate) use warm::{ConversationKind, FirstRequest, WarmStart};
