//! Contexts in tokens: what Claude Code needs, and what is asked for.

/// What Claude Code's own prompt and tools take, about.
pub const CLAUDE_CODES_PROMPT: u32 = 25_000;
/// Below it they leave no room to work in, not even where Claude Code is lean.
pub const LEAST_CONTEXT: u32 = 24_000;
/// Below it a small tool set and prompt are worth what they leave out.
pub const ROOMY_CONTEXT: u32 = 48_000;
/// Asked of a backend unless the user says otherwise: with it Claude Code's own prompt leaves room for work.
pub const DEFAULT_CONTEXT: u32 = 65_536;
/// What may be asked for at all.
pub const CONTEXT_LIMITS: std::ops::RangeInclusive<u32> = 2_048..=16_777_216;
