//! Any server with the Messages API, started by the user's own command: vLLM, SGLang, LocalAI, MLX servers, llama-swap,
//! …
//!
//! Nothing is assumed about the server beyond its health path and the Messages API.

mod key;
mod kind;
mod plan;
mod stop;

pub(crate) use kind::CommandBackend;
