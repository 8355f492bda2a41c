//! The kinds of backend: how each is found, planned, waited for and diagnosed, and which models it has.
//!
//! A kind is a folder that implements one trait and is listed in the registry. Nothing here starts or supervises a
//! server: the keeper handles ports, processes, retries, logs and leases.

mod activity;
pub(crate) mod address;
mod certificates;
mod checks;
mod choose;
mod command;
pub(crate) mod context;
mod diagnosis;
mod downloads;
mod endpoint;
mod figures;
pub(crate) mod fit;
mod http;
mod install;
mod installed;
mod interface;
mod listed;
mod llamacpp;
mod lmstudio;
pub(crate) mod log;
mod messages;
mod metrics;
mod model_list;
pub(crate) mod names;
mod ollama;
pub(crate) mod percentage;
mod plan;
pub(crate) mod program;
mod proxy;
pub(crate) mod registry;
mod served;
mod slots;
mod starting;
pub(crate) mod subject;
mod undo;
mod visit;

pub(crate) use activity::{ActivityEvent, RequestKey, Step};
pub(crate) use choose::{ChosenBackend, Tiers, choose, detect, keys_over_model, only_kind, plan};
pub(crate) use diagnosis::{Cause, describe_status, diagnose};
pub(crate) use downloads::refuse_download;
pub(crate) use endpoint::{notes as url_notes, url_to_write};
pub(crate) use figures::{Figures, rate};
pub(crate) use http::{
    ANSWER_BYTES, BodyLines, client, client_for, describe_error, figures_client, parse_version, read_body,
};
pub(crate) use installed::{BackendModel, Installed, backend_to_name, find_near, list_usable, rank_reported};
pub(crate) use interface::Backend;
pub(crate) use listed::ListedModel;
pub(crate) use log::LogExcerpt;
pub(crate) use names::list_some;
pub(crate) use plan::{BackendPlan, Endpoint, HOST, Program, Service, TOKEN};
pub(crate) use served::Served;
pub(crate) use slots::{PrefixTokens, PromptCache, RestoreError, SlotCache, Slots, holds, prime};
pub(crate) use starting::{MissingModel, Noted, Presence, Progress, StartError, Starting, unexpected_response};
pub(crate) use undo::Undo;
pub(crate) use visit::visit;
