//! Claude Code's tiers of models.

use serde::{Deserialize, Serialize};

/// A tier of Claude Code's, which can have a model of its own. In the order in which they decide what the main model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    Sonnet,
    Opus,
    Haiku,
    Fable,
    /// Agents that Claude Code starts; without a model of its own each uses what its definition says.
    Subagent,
}

impl Tier {
    /// The tiers that the model picker offers, the largest first.
    pub const MAIN: [Tier; 4] = [Tier::Opus, Tier::Sonnet, Tier::Haiku, Tier::Fable];

    /// Every tier.
    pub const ALL: [Tier; 5] = [Tier::Opus, Tier::Sonnet, Tier::Haiku, Tier::Fable, Tier::Subagent];

    /// Returns its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Opus => "opus",
            Tier::Sonnet => "sonnet",
            Tier::Haiku => "haiku",
            Tier::Fable => "fable",
            Tier::Subagent => "subagent",
        }
    }

    /// Returns its dotted key in the configuration.
    pub fn key(self) -> &'static str {
        match self {
            Tier::Opus => "models.opus",
            Tier::Sonnet => "models.sonnet",
            Tier::Haiku => "models.haiku",
            Tier::Fable => "models.fable",
            Tier::Subagent => "models.subagent",
        }
    }
}
