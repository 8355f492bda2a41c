//! Puts back what Claude Code wrote into the user's own files because of our routing.
//!
//! `/model` and the model picker save their choice in the user's `settings.json`, whatever `--settings` says, and a
//! start sets flags in `.claude.json` that depend on our variables (seen in 2.1.331). A session records both files'
//! state in its private directory before Claude Code starts. Whoever survives, the session, its keeper or the next
//! lclaude, puts the keys back that still have the value that the session wrote. What the user changes on purpose, such
//! as the theme, stays. This is the only part of lclaude that writes to Claude Code's files.

mod file;
mod record;
mod session;
mod settings;
mod state;
mod transcripts;

pub(crate) use session::{record, restore};
