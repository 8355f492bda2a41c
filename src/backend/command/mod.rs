//! Any server that speaks the Messages API, started by a command line of the user's: vLLM, SGLang, LocalAI, MLX servers,
//! llama-swap, …

mod kind;
mod plan;

pub use kind::Command;
