//! The model servers lclaude can run: what each is started with, when it is ready, and what its last words mean.
//!
//! A file a kind; this one is what they share. Ports, processes, retries, logs and leases are the keeper's business,
//! not a backend's.

mod command;
mod diagnosis;
pub mod endpoint;
mod figures;
pub mod find;
pub mod fit;
mod http;
pub mod install;
pub mod listing;
pub mod llamacpp;
pub mod lmstudio;
pub mod ollama;
mod plan;
mod served;
mod undo;

pub use diagnosis::{Cause, diagnose, in_words};
pub use figures::{Figures, figures};
pub use find::{Chosen, Tiers, choose, plan};
pub use http::{client, client_for, in_words as error_in_words, release};
pub use plan::conceal;
pub use plan::something_else;
pub use plan::visit;
pub use plan::{BackendPlan, Endpoint, HOST, MASKED, Program, Progress, Service, Starting, Unfit};
pub use served::Served;
pub use undo::Undo;
