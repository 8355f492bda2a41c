//! The memory of this machine.

use std::fmt;

use super::{
    amount::{Amount, sum},
    system, tools,
};
use crate::base::ui::format_bytes;

const MEBIBYTE: u64 = 1024 * 1024;
const GIBIBYTE: u64 = 1024 * MEBIBYTE;

/// The memory that models can use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    pub ram: Amount,
    /// Separate graphics memory of all cards together.
    pub graphics: Amount,
    /// How many bytes of the RAM graphics may use, if they share it (Apple silicon).
    pub graphics_limit: Option<u64>,
    /// What `iogpu.wired_limit_mb` says: 0 unless the user has set it, `None` before macOS 14 and on other systems.
    pub graphics_setting: Option<u64>,
}

impl Machine {
    /// Returns what the operating system reports, or `None` if it doesn't report RAM.
    pub(crate) fn detect() -> Option<Self> {
        let ram = system::ram()?;
        Some(Machine {
            ram,
            graphics: sum(&system::gpus()),
            graphics_limit: system::graphics_limit(ram.total),
            graphics_setting: system::graphics_setting(),
        })
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
    /// impossible. So can the limit of graphics: a server then leaves a part of the model to the processor.
    pub(crate) fn fit(&self, need: u64, kept_prompts: u64) -> Fit {
        let Amount { total, free } = self.all();
        if need > total {
            Fit::No
        } else if need > self.room(free, kept_prompts) {
            Fit::Tight
        } else {
            Fit::Yes
        }
    }

    /// Returns how many of `bytes` models can use: not those of the cached prompts, and not more than graphics may.
    pub(crate) fn room(&self, bytes: u64, kept_prompts: u64) -> u64 {
        bytes.saturating_sub(kept_prompts).min(self.graphics_limit.unwrap_or(u64::MAX))
    }

    /// Returns the command that lets graphics use `need` bytes, or `None` if they may already, it would leave too little to
    /// the system, or the system has no such command.
    pub(crate) fn raise_graphics_limit(&self, need: u64) -> Option<String> {
        let limit = self.graphics_limit.filter(|limit| need > *limit)?;
        let setting = self.graphics_setting?;
        let need = need.div_ceil(GIBIBYTE) * 1024;
        let most = self.ram.total.saturating_sub((self.ram.total / 8).max(4 * GIBIBYTE));
        let most = most / MEBIBYTE;
        (need <= most).then(|| {
            let now = format_bytes(limit);
            let (megabytes, now) = match setting {
                // The real default may be higher than the assumed one, and the command must not lower it.
                0 => (
                    need.max(self.ram.total / MEBIBYTE * 85 / 100).min(most),
                    format!("lclaude assumes about {now} now"),
                ),
                _ => (need, format!("now it is about {now}")),
            };
            format!("sudo sysctl iogpu.wired_limit_mb={megabytes}  # until the next restart; {now}")
        })
    }
}

/// Returns how much of the RAM graphics may use on Apple silicon (`recommendedMaxWorkingSetSize` of Metal, by which
/// llama.cpp and Ollama decide how much of a model the GPU gets).
///
/// `megabytes` is `iogpu.wired_limit_mb`, which is 0 unless the user has set it. The default isn't documented: two thirds,
/// and three quarters from 36 GiB on, as seen on machines with 8 to 64 GiB. Recent machines were seen to allow more, 74% of
/// 24 GiB and 84% of 128 GiB.
#[cfg_attr(not(target_os = "macos"), allow(dead_code, reason = "Linux has no such limit"))]
pub(super) fn limit_of_graphics(total: u64, megabytes: u64) -> u64 {
    match megabytes {
        0 if total >= 36 * GIBIBYTE => total / 4 * 3,
        0 => total / 3 * 2,
        _ => megabytes.saturating_mul(MEBIBYTE).min(total),
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { ram, graphics, graphics_limit, .. } = self;
        write!(f, "{} of {} is free", format_bytes(ram.free), format_bytes(ram.total))?;
        if let Some(limit) = graphics_limit {
            write!(f, ", of which graphics may use about {}", format_bytes(*limit))?;
        }
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
    /// It needs more than is free now or graphics may use, or will once the prompt cache fills up.
    Tight,
    /// It needs more than the machine has.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(gibibytes: u64, megabytes: u64) -> Machine {
        let total = gibibytes * GIBIBYTE;
        let graphics_limit = Some(limit_of_graphics(total, megabytes));
        let graphics_setting = Some(megabytes);
        Machine { ram: Amount { total, free: total }, graphics_limit, graphics_setting, ..Machine::default() }
    }

    #[test]
    fn graphics_may_use_what_was_set_or_a_part_of_the_ram() {
        let limit = |gibibytes, megabytes| limit_of_graphics(gibibytes * GIBIBYTE, megabytes) / MEBIBYTE;
        // As Metal reported them on such machines.
        assert_eq!([limit(8, 0), limit(32, 0), limit(36, 0), limit(64, 0)], [5461, 21_845, 27_648, 49_152]);
        assert_eq!(limit(32, 26_624), 26_624);
        assert_eq!(limit(32, 100_000), 32_768, "no more than there is");
    }

    #[test]
    fn model_above_the_limit_of_graphics_is_tight() {
        let machine = mac(32, 0);
        assert_eq!(machine.fit(21 * GIBIBYTE, 0), Fit::Yes);
        assert_eq!(machine.fit(22 * GIBIBYTE, 0), Fit::Tight);
        // Cached prompts aren't in graphics memory.
        assert_eq!(machine.fit(21 * GIBIBYTE, 8 * GIBIBYTE), Fit::Yes);
        assert_eq!(machine.fit(33 * GIBIBYTE, 0), Fit::No);
        assert_eq!(mac(32, 26_624).fit(22 * GIBIBYTE, 0), Fit::Yes);
        assert_eq!(Machine { graphics_limit: None, ..machine }.fit(22 * GIBIBYTE, 0), Fit::Yes);
    }

    #[test]
    fn command_raises_the_limit_and_leaves_memory_to_the_system() {
        let command = |gibibytes, need: u64| mac(gibibytes, 0).raise_graphics_limit(need * GIBIBYTE - 1);
        assert_eq!(
            command(32, 24).as_deref(),
            Some("sudo sysctl iogpu.wired_limit_mb=27852  # until the next restart; lclaude assumes about 22.9 GB now")
        );
        assert_eq!(
            mac(32, 23_552).raise_graphics_limit(24 * GIBIBYTE).as_deref(),
            Some("sudo sysctl iogpu.wired_limit_mb=24576  # until the next restart; now it is about 24.7 GB")
        );
        // macOS 13 has no such setting.
        assert_eq!(Machine { graphics_setting: None, ..mac(32, 0) }.raise_graphics_limit(24 * GIBIBYTE), None);
        // Metal allowed 84% of 128 GiB without a setting.
        let large = command(128, 100).expect("a command");
        assert!(large.contains("iogpu.wired_limit_mb=111411 "), "{large}");
        assert_eq!([command(32, 20), command(32, 29), command(16, 13)], [None, None, None]);
        assert!(command(32, 28).is_some() && command(16, 12).is_some());
    }

    #[test]
    fn limit_of_graphics_is_shown() {
        assert_eq!(mac(32, 0).to_string(), "34.4 GB of 34.4 GB is free, of which graphics may use about 22.9 GB");
    }
}
