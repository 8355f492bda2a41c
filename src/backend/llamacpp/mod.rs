//! llama.cpp's `llama-server`: a GGUF model, or several behind its router, one slot each, and an API key of its own.
//!
//! Options and answers as of release b11434 (`common/arg.cpp`, `tools/server`), seen in runs of it.

pub mod cache;
mod kind;
pub mod memory;
mod model;

pub use kind::*;
pub use model::{DEFAULT_MODEL, missing, none_chosen, served_name, to_be_downloaded};
