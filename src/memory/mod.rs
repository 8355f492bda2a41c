//! Estimates whether a model fits into memory, before it is downloaded or loaded.
//!
//! `gguf` and `shape` work out what a model needs, `linux`, `macos` and `tools` what the machine has, `estimate`
//! compares the two, and `advice` writes the messages. Nothing here may depend on backends or settings. The only
//! programs run are those that report graphics memory; they are slow, so don't ask while joining a running server.

mod advice;
mod amount;
mod estimate;
pub(crate) mod gguf;
mod machine;
mod shape;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod system;
mod tools;

pub(crate) use advice::{describe, more_memory, refusal, warning};
pub(crate) use amount::Amount;
pub(crate) use estimate::{Estimate, ModelMemory, compare, total_ram};
pub(crate) use machine::{Fit, Machine};
pub(crate) use shape::{Layout, PromptReuse, Shape};
