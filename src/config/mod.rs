//! Configuration: reads files, environment variables and options, and merges them into [`Settings`].
//!
//! Every value keeps its [`Source`], and a project file is limited to what its trust allows. Nothing here looks at the
//! machine beyond the configuration files and the trust list; backends check that programs and models exist.

mod edit;
mod file;
mod keys;
mod kind;
mod layers;
pub mod project;
mod settings;
mod source;
mod tier;
pub mod trust;

pub use edit::{Edit, render, set_value};
pub use keys::find_nearest;
pub use kind::Kind;
pub use layers::{Overrides, load, unknown_variables};
pub use project::Project;
pub use settings::{Lifetime, OllamaInstance, Settings, Thinking};
pub use source::Source;
pub use tier::Tier;
