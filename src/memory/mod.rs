//! Whether a model fits into memory, said before it is downloaded or loaded.
//!
//! `gguf` and `shape` tell what a model takes, `linux` or `macos` and `tools` what there is, this file compares the two,
//! and `advice` puts it into words. Nothing here knows of backends or settings, and nothing is run but the programs that
//! report graphics memory, which is why nobody may ask while joining a server that is up.

mod advice;
mod amount;
mod estimate;
pub mod gguf;
mod machine;
mod shape;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod system;
mod tools;

pub use advice::{describe, refusal, warning};
pub use amount::Amount;
pub use estimate::total;
pub use estimate::weigh;
pub use estimate::{Estimate, Model};
pub use machine::{Fit, Machine};
pub use shape::Layout;
