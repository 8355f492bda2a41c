//! Claude Code: finding it, its command line, and what it gets so that it speaks to our backend and to nobody else.
//!
//! Everything it gets is data first (a `Routing` for its variables, which other programs can have too, and a `SessionPlan`
//! for its arguments and settings), so that `--dry-run` can show it.

pub mod arguments;
mod find;
mod plan;
mod routing;
mod settings;
mod throwaway;
mod variables;

pub use find::{NPM, find, ways};
pub use plan::LEAN_TOOLS;
pub use plan::SessionPlan;
pub use plan::check_own;
pub use plan::direct;
pub use plan::output;
pub use plan::warnings_without_overlay;
pub use routing::{Routed, Routing};
pub use settings::overlay::{files as settings_files, hijackers, respect_managed};
pub use throwaway::{Throwaway, answers_file, config_dir};
pub use variables::{BETAS_OFF, is_overruled};
