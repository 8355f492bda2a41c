//! The kinds of backend: how each is found, planned, waited for and diagnosed, and which models it has.
//!
//! A kind is a folder that implements one trait and is listed in the registry. Nothing here starts or supervises a
//! server: the keeper handles ports, processes, retries, logs and leases.

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

pub use choose::{ChosenBackend, Tiers, choose, configured_or_detected, detect, plan};
pub use diagnosis::{Cause, describe_status, diagnose};
pub use downloads::refuse_download;
pub use figures::Figures;
pub use http::{client, client_for, describe_error, parse_version};
pub use interface::Backend;
pub use listed::ListedModel;
pub use plan::{BackendPlan, Endpoint, HOST, MASKED, Program, Service};
pub use served::Served;
pub use starting::{MissingModel, Progress, StartError, Starting, unexpected_response};
pub use undo::Undo;
pub use visit::visit;
