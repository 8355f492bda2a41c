//! Fakes of Claude Code and the backends, and the scripted model, for lclaude's tests.
//!
//! A test opens [`events::Events`], puts its address into `FAKE_EVENTS`, and starts lclaude. Every
//! fake program that starts then connects, identifies itself, and obeys the test's commands.

pub mod anthropic;
pub mod control;
pub mod ending;
pub mod events;
pub mod gguf;
pub mod http;
pub mod process;
pub mod scripted_model;
pub mod steps;
