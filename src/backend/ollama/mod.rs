//! Ollama: a private `ollama serve` on the user's own model store, or the server that runs already.
//!
//! Answers as of Ollama 0.14 and later (`server/routes.go`, `docs/api.md`), seen in runs of 0.33. At its first start it
//! makes itself a key pair, `~/.ollama/id_ed25519`; that is its own business, and nothing here needs it.

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
mod start;
mod store;
mod unknown;

pub use kind::Ollama;
