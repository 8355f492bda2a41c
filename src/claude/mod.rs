//! Claude Code: finds it, parses its command line, and prepares the variables, arguments and settings that make it talk
//! only to our backend.
//!
//! Everything is prepared as data, so that `--dry-run` can print it: `Routing` for the variables, which other programs
//! can get too, and `SessionPlan` for the arguments and settings. Nothing here starts a backend or a session, or changes
//! our own environment. Only `user_files` writes to the user's Claude Code files, to undo what a session wrote there.

pub(crate) mod arguments;
mod find;
mod output;
mod overflow;
mod plan;
mod recording;
mod routing;
mod settings;
mod throwaway;
mod tools;
pub(crate) mod user_files;
mod variables;
mod version;

pub(crate) use find::{NPM_INSTALL, find, install_commands, not_started, on_windows};
pub(crate) use output::{listed_options, read_output};
pub(crate) use overflow::is_overflow;
pub(crate) use plan::{SessionPlan, check_settings, direct_command, warnings_without_overlay};
pub(crate) use recording::{Recorded, Recording};
pub(crate) use routing::{Place, Routed, Routing};
pub(crate) use settings::managed::check_managed_settings;
pub(crate) use settings::overlay::{NO_PREFLIGHT, files as settings_files, find_hijackers};
pub(crate) use settings::status_line::StatusLineFile;
pub(crate) use throwaway::{Throwaway, answers_file, config_dir};
pub(crate) use tools::{LEAN_TOOLS, LeftOut, WEB_SEARCH};
pub(crate) use variables::{BETAS_OFF, REMOVED as REMOVED_VARIABLES, SWITCHED_OFF, is_overridden};
