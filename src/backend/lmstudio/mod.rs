//! LM Studio, controlled with its command `lms`: a running server is used, or one is started, and every change is
//! undone at the end.
//!
//! Written from the source of `lms` and LM Studio's documentation (0.4); not yet run with the real program.

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

pub(crate) use kind::LmStudioBackend;
