//! Ollama: a private `ollama serve` on the user's own model store, or a shared server that already runs.
//!
//! The API is that of Ollama 0.14 and later (`server/routes.go`, `docs/api.md`), seen in runs of 0.33. A shared server
//! keeps its settings: only models are loaded into it, and unloaded at the end.

mod app;
mod blobs;
mod checks;
mod kind;
mod listing;
mod look;
mod memory;
mod models;
mod plan;
mod pull;
mod server;
mod service;
mod start;
mod store;
mod switch;
mod unknown;
mod variables;
mod windows;

pub(crate) use kind::OllamaBackend;
