//! LM Studio, through its own command `lms`: the server that runs is used, or one is started, and whatever was as it was
//! is so again afterwards.
//!
//! Written after the source of `lms` and LM Studio's documents (0.4); never run with the real one.

mod checks;
mod download;
mod ending;
mod kind;
mod listing;
mod lms;
mod look;
mod memory;
mod model;
mod pick;
mod plan;
mod start;

pub use kind::LmStudio;
