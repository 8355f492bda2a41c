//! What the user wants, from every place they can say it, and where each value came from.
//!
//! `layers` reads and merges; this file says what a setting is. Nothing here looks at the machine beyond the
//! configuration files themselves: whether a program or a model exists is for `plan` to find out.

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

pub use edit::{Edit, set, written};
pub use keys::nearest;
pub use kind::Kind;
pub use layers::{Overrides, load, unknown_variables};
pub use project::Project;
pub use settings::{Instance, Lifetime, Settings, Thinking};
pub use source::Source;
pub use tier::Tier;
