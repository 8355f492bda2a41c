//! Context sizes in tokens: what Claude Code needs, the default and the limits.

/// Approximate size of Claude Code's own prompt and tools.
pub(crate) const CLAUDE_CODE_PROMPT: u32 = 21_000;
/// The smallest usable context: below it, even the lean prompt and tools leave no room to work.
pub(crate) const MIN_CONTEXT: u32 = 24_000;
/// Below this, Claude Code gets the lean prompt and tools by default.
pub(crate) const LEAN_BELOW: u32 = 48_000;
/// The default context, which leaves room to work after Claude Code's own prompt.
pub(crate) const DEFAULT_CONTEXT: u32 = 65_536;
/// The contexts that a user may request.
pub(crate) const CONTEXT_LIMITS: std::ops::RangeInclusive<u32> = 2_048..=16_777_216;
