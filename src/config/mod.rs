//! Configuration: reads files, environment variables and options, and merges them into [`Settings`].
//!
//! Every value keeps its [`Source`], and a project file is limited to what its trust allows. Nothing here looks at the
//! machine beyond the configuration files and the trust list; backends check that programs and models exist.

mod chosen;
mod edit;
mod endpoint;
mod file;
mod keys;
mod kind;
mod layers;
mod llamacpp;
pub(crate) mod project;
mod ranges;
mod settings;
mod source;
mod tier;
mod tools;
pub(crate) mod trust;
mod unknown;
mod url;
pub(crate) mod values;
mod warm;

pub(crate) use edit::{Edit, render, set_value};
pub(crate) use endpoint::Auth;
pub(crate) use keys::{KeyKind, all as all_keys, find_nearest};
pub(crate) use kind::{KIND_NAMES, Kind, UnknownKind, url_kind};
pub(crate) use layers::{Overrides, load, read_text, unknown_variables};
pub(crate) use llamacpp::{FlashAttention, LlamaCppSettings};
pub(crate) use project::Project;
pub(crate) use ranges::parse_context;
pub(crate) use settings::{Lifetime, OllamaInstance, Settings, Thinking};
pub(crate) use source::Source;
pub(crate) use tier::Tier;
pub(crate) use tools::ToolSet;
pub(crate) use url::server_url;
pub(crate) use warm::WarmSettings;
