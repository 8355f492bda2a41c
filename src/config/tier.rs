//! Claude Code's tiers of models.

use serde::{Deserialize, Serialize};

/// A tier of Claude Code's models. A model can be set for each. The order is that in which they decide the main model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tier {
    Sonnet,
    Opus,
    Haiku,
    Fable,
    /// Subagents. Without a model here, each uses the one in its definition.
    Subagent,
}

impl Tier {
    /// The tiers that the model picker offers, the largest first.
    pub(crate) const MAIN: [Tier; 4] = [Tier::Opus, Tier::Sonnet, Tier::Haiku, Tier::Fable];

    /// Every tier.
    pub(crate) const ALL: [Tier; 5] = [Tier::Opus, Tier::Sonnet, Tier::Haiku, Tier::Fable, Tier::Subagent];

    /// Returns its name in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Tier::Opus => "opus",
            Tier::Sonnet => "sonnet",
            Tier::Haiku => "haiku",
            Tier::Fable => "fable",
            Tier::Subagent => "subagent",
        }
    }

    /// Returns its dotted key in the configuration.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Tier::Opus => "models.opus",
            Tier::Sonnet => "models.sonnet",
            Tier::Haiku => "models.haiku",
            Tier::Fable => "models.fable",
            Tier::Subagent => "models.subagent",
        }
    }
}
