//! The backends: what each is started with, when it is ready, and what its last words mean.
//!
//! A kind is a folder that implements one trait and stands in one registry. Ports, processes, retries, logs and leases are
//! the keeper's business.

pub mod address;
mod checks;
mod choose;
mod command;
pub mod context;
mod diagnosis;
mod downloads;
mod endpoint;
mod figures;
pub mod fit;
mod http;
mod install;
mod interface;
mod listed;
mod llamacpp;
mod lmstudio;
mod messages;
mod names;
mod ollama;
mod plan;
pub mod program;
pub mod registry;
mod served;
mod starting;
pub mod subject;
mod undo;
mod visit;

pub use choose::{Chosen, Tiers, choose, detect, kind, plan};
pub use diagnosis::{Cause, describe_status, diagnose};
pub use downloads::refuse_download;
pub use figures::Figures;
pub use http::{client, client_for, in_words as error_in_words, release};
pub use interface::Backend;
pub use listed::Listed;
pub use plan::{BackendPlan, Endpoint, HOST, MASKED, Program, Service};
pub use served::Served;
pub use starting::{Progress, Starting, Unfit, unexpected_response};
pub use undo::Undo;
pub use visit::visit;
