//! A server that lclaude doesn't start: vLLM over several nodes, a gateway in front of many models, a cluster's
//! address. Nothing here starts, changes or stops anything.

mod kind;
mod plan;

pub(crate) use kind::EndpointBackend;
pub(crate) use plan::{notes, url_to_write};
