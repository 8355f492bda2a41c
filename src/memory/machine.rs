//! The memory of this machine.

use std::fmt;

use super::{
    amount::{Amount, sum},
    system, tools,
};
use crate::base::ui::format_bytes;

/// The memory that models can use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    pub ram: Amount,
    /// Separate graphics memory of all cards together.
    pub graphics: Amount,
}

impl Machine {
    /// Returns what the operating system reports, or `None` if it doesn't report RAM.
    pub(crate) fn detect() -> Option<Self> {
        Some(Machine { ram: system::ram()?, graphics: sum(&system::gpus()) })
    }

    /// Adds the graphics memory reported by the drivers' programs, which take a moment.
    #[must_use]
    pub(crate) fn with_tools(self) -> Self {
        let found = sum(&tools::gpus());
        let known = self.graphics;
        Machine { graphics: if found.total > known.total { found } else { known }, ..self }
    }

    /// Returns RAM and graphics memory together.
    pub(crate) fn all(&self) -> Amount {
        sum(&[self.ram, self.graphics])
    }

    /// Returns whether `need` bytes fit. `kept_prompts` fill up later, so they can make the fit tight but not
    /// impossible.
    pub(crate) fn fit(&self, need: u64, kept_prompts: u64) -> Fit {
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
        write!(f, "{} of {} is free", format_bytes(ram.free), format_bytes(ram.total))?;
        match graphics.total {
            0 => Ok(()),
            total => write!(f, ", and {} of {} of graphics memory", format_bytes(graphics.free), format_bytes(total)),
        }
    }
}

/// Whether a model fits into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    Yes,
    /// It needs more than is free now, or will once the prompt cache fills up.
    Tight,
    /// It needs more than the machine has.
    No,
}
