//! A server that somebody else runs: vLLM over several nodes, a gateway in front of many models, a cluster's address.
//! Nothing is started and nothing is stopped.

mod kind;
mod plan;

pub use kind::Endpoint;
