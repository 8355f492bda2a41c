//! llama.cpp's `llama-server`: a GGUF model, or several behind its router, one slot each, and an API key of its own.

mod cache;
mod checks;
mod figures;
mod kind;
mod memory;
mod model;
mod plan;
mod start;

pub use kind::LlamaCpp;
