//! What memory this machine has.

use std::fmt;

use super::{
    amount::{Amount, sum},
    system, tools,
};
use crate::base::ui::size;

/// What there is to put a model into.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    pub ram: Amount,
    /// Graphics memory beside it, all cards together.
    pub graphics: Amount,
}

impl Machine {
    /// What the system says by itself. `None` where it does not.
    pub fn look() -> Option<Self> {
        Some(Machine { ram: system::ram()?, graphics: sum(&system::gpus()) })
    }

    /// The same with what programs have to be asked for, which takes a moment.
    #[must_use]
    pub fn with_tools(self) -> Self {
        let found = sum(&tools::gpus());
        let known = self.graphics;
        Machine { graphics: if found.total > known.total { found } else { known }, ..self }
    }

    /// Both kinds together.
    pub fn all(&self) -> Amount {
        sum(&[self.ram, self.graphics])
    }

    /// Whether so many bytes fit, of which those of kept prompts are filled only later and refuse nothing.
    pub fn fit(&self, need: u64, kept_prompts: u64) -> Fit {
        let Amount { total, free } = self.all();
        if need > total {
            Fit::No
        } else if need.saturating_add(kept_prompts) > free {
            Fit::Tight
        } else {
            Fit::Yes
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { ram, graphics } = self;
        write!(f, "free is {} of {}", size(ram.free), size(ram.total))?;
        match graphics.total {
            0 => Ok(()),
            total => write!(f, ", and {} of {} of graphics memory", size(graphics.free), size(total)),
        }
    }
}

/// Whether it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    Yes,
    /// Only if others give memory back, or not for long.
    Tight,
    /// Not even on an empty machine.
    No,
}
