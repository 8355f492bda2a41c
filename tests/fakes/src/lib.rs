//! Stand-ins for Claude Code and the backends, and the scripted model, for lclaude's tests.
//!
//! A test opens [`events::Events`], puts its address into `FAKE_EVENTS`, and starts lclaude; every
//! fake program that comes up then connects, says who it is, and does as the test tells it.

pub mod anthropic;
pub mod control;
pub mod events;
pub mod gguf;
pub mod http;
pub mod process;
pub mod scripted_model;
pub mod steps;
