//! The keeper: the process that owns a backend, apart from every session that uses it.
//!
//! It is this same binary, started by the first session that needs a plan. It takes leases, watches the backend, tells
//! every session what happens, and ends backend and itself when the last lease has closed. It knows nothing of Claude
//! Code but the process to end when a session dies.

mod ask;
mod files;
mod hold;
mod lease;
mod leases;
mod link;
mod log;
mod patience;
mod protocol;
mod report;
mod start;
mod supervise;
mod sweep;

pub use ask::{Stopped, of_other_versions, report, stop, survey};
pub use hold::{is_up, run};
pub use lease::Lease;
pub use link::VERB;
pub use protocol::{FromKeeper as Event, Ready};
pub use report::{Report, Session, State};
pub use start::Start;
