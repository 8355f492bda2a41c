//! The variables of lclaude's own that are no settings; those that are stand in `config`.

/// The level of lclaude's own log: off, error, warn, info, debug or trace.
pub const LOG: &str = "LCLAUDE_LOG";
/// In a session's environment: how many lclaudes it is in, one in the other.
pub const DEPTH: &str = "LCLAUDE_DEPTH";
