//! llama.cpp's `llama-server`: one GGUF model, or several behind its router, with one slot each and a new API key for
//! each run.
//!
//! Options, responses and log texts are those of release b11434 (`common/arg.cpp`, `tools/server`), seen in runs of it.

mod activity;
mod cache;
mod checks;
mod files;
mod kind;
mod memory;
mod model;
mod plan;
mod program;
mod snapshots;
mod start;

pub(crate) use kind::LlamaCppBackend;
