//! What lclaude promises, one module a promise, against fakes of Claude Code and the backends.
//!
//! `cargo test --test it NAME` runs the tests whose paths contain NAME: a module or a test.

mod architecture;
mod arguments;
mod as_named;
mod bad_input;
mod cache;
mod choice;
mod command;
mod command_key;
mod command_log;
mod command_stop;
mod completions;
#[cfg(target_os = "linux")]
mod config_verb;
mod descendants;
mod doctor;
mod doctor_backends;
mod doctor_live;
mod documentation;
mod dry_run;
mod endpoint;
mod env;
mod figures;
mod find_claude;
mod first_start;
mod foreign_text;
mod help_verb;
mod hostile;
mod init;
mod install;
mod installed;
mod installed_by;
mod installer;
#[cfg(all(target_os = "linux", debug_assertions))]
mod interleavings;
#[cfg(all(target_os = "linux", debug_assertions))]
mod keeper_states;
mod lean;
mod lifetime;
mod limits;
mod llamacpp;
mod lmstudio;
mod logs;
#[cfg(target_os = "linux")]
mod managed;
mod memory;
mod mistakes;
mod models;
mod ollama;
mod ollama_context;
mod ollama_helps;
mod ollama_shared;
mod ollama_store;
mod packages;
mod panics;
mod privacy;
mod private_directories;
mod profiles;
mod project;
mod quiet;
mod release;
mod restored_files;
mod routing;
mod run;
mod runtime_directory;
mod screens;
mod scripts;
mod serve;
mod setup;
mod sharing;
mod shells;
mod signals;
#[cfg(target_os = "linux")]
mod silent;
mod status;
mod status_line;
mod stop;
#[cfg(target_os = "linux")]
mod stress;
mod switching;
mod terminal;
#[cfg(target_os = "linux")]
mod thieves;
mod throwaway;
mod throwaway_ends;
mod toolset;
mod trust;
mod url;
mod use_model;
mod user_files;
mod usual_places;
mod values;
mod waiting;
#[cfg(target_os = "linux")]
mod wsl;

#[test]
fn every_snapshot_has_its_test() {
    support::messages::assert_no_orphans("it");
}
