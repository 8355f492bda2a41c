//! `lclaude local config`: shows and changes the configuration. The user's file is changed key by key, and only if the
//! whole file is valid afterwards.

mod change;
mod editor;
mod run;
mod show;
mod target;
pub(crate) use run::run;
pub(crate) use show::overruled;
