//! Compares the memory that models need with what the machine has.

use std::path::Path;

use super::{
    gguf,
    machine::{Fit, Machine},
    shape::{Layout, Shape},
    system,
};

/// A model to be loaded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModelMemory {
    pub name: String,
    /// Size of its files in bytes, if known.
    pub weights: Option<u64>,
    pub shape: Option<Shape>,
    pub layout: Layout,
}

impl ModelMemory {
    /// Returns the model in `file`. If the file can't be read, its size and shape are unknown; the error is reported
    /// elsewhere.
    pub(crate) fn read(name: String, file: &Path, layout: Layout) -> Self {
        match gguf::Header::read(file) {
            Ok(header) => ModelMemory::of(name, &header, file, layout),
            Err(_) => ModelMemory { name, weights: None, shape: None, layout },
        }
    }

    /// Returns the model in `file`, whose header was already read.
    pub(crate) fn of(name: String, header: &gguf::Header, file: &Path, layout: Layout) -> Self {
        let shape = Shape::of(header);
        ModelMemory { name, weights: shape.as_ref().and_then(|_| gguf::size(file)), shape, layout }
    }

    /// Returns the default model before it is downloaded: its shape from its `config.json`, and the size of the
    /// `Q4_K_M` files that Ollama and unsloth publish (18.3 to 19 GB).
    pub(crate) fn glm_4_7_flash(name: String, layout: Layout) -> Self {
        ModelMemory { name, weights: Some(18_500_000_000), shape: Some(Shape::glm_4_7_flash()), layout }
    }
}

/// Everything a server will load.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Estimate {
    pub models: Vec<ModelMemory>,
    /// Bytes that the server's prompt cache may grow to.
    pub kept_prompts: u64,
    /// The setting for the KV cache type, with `{}` in place of the type, if there is one.
    pub cache_setting: Option<&'static str>,
}

/// Bytes of memory that a server needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Need {
    pub weights: u64,
    pub cache: u64,
    pub buffers: u64,
}

impl Need {
    pub(crate) fn total(self) -> u64 {
        [self.weights, self.cache, self.buffers].into_iter().fold(0, u64::saturating_add)
    }
}

impl Estimate {
    pub(crate) fn need(&self) -> Need {
        self.need_with(Layout::clone)
    }

    /// Returns the need if `layout` changed the layout of each model.
    pub(crate) fn need_with(&self, layout: impl Fn(&Layout) -> Layout) -> Need {
        let add = |need: Need, model: &ModelMemory| {
            let layout = layout(&model.layout);
            let size = |part: fn(&Shape, &Layout) -> u64| model.shape.as_ref().map_or(0, |shape| part(shape, &layout));
            Need {
                weights: need.weights.saturating_add(model.weights.unwrap_or(0)),
                cache: need.cache.saturating_add(size(Shape::cache)),
                buffers: need.buffers.saturating_add(size(Shape::buffers)),
            }
        };
        self.models.iter().fold(Need::default(), add)
    }

    /// Returns whether anything is known about any model.
    pub(crate) fn is_known(&self) -> bool {
        self.models.iter().any(|model| model.weights.is_some() || model.shape.is_some())
    }

    /// Returns whether the figures are only a lower bound.
    pub(crate) fn is_partial(&self) -> bool {
        self.models.iter().any(|model| model.weights.is_none() || model.shape.is_none())
    }

    /// Returns whether everything fits.
    ///
    /// Only more than the total memory counts as [`Fit::No`]: memory in use now may be free in a moment, and model
    /// files are only mapped.
    pub(crate) fn fit(&self, machine: &Machine) -> Fit {
        machine.fit(self.need().total(), self.kept_prompts)
    }

    /// Compares the need with this machine. `None` if its memory is unknown.
    pub(crate) fn compare(&self) -> Option<(Fit, Machine)> {
        compare(self.need().total(), self.kept_prompts)
    }
}

/// Compares a number of bytes with this machine. `None` if its memory is unknown.
///
/// The slow programs that report graphics memory run only if the need doesn't fit otherwise.
pub(crate) fn compare(need: u64, kept_prompts: u64) -> Option<(Fit, Machine)> {
    let machine = Machine::detect()?;
    if machine.fit(need, kept_prompts) == Fit::Yes {
        return Some((Fit::Yes, machine));
    }
    let machine = machine.with_tools();
    Some((machine.fit(need, kept_prompts), machine))
}

/// Returns the machine's RAM in bytes, used or not.
pub(crate) fn total_ram() -> Option<u64> {
    system::ram().map(|ram| ram.total)
}

#[cfg(test)]
mod tests {
    use super::{super::amount::Amount, *};

    const GB: u64 = 1_000_000_000;

    fn estimate(weights: u64, kept_prompts: u64) -> Estimate {
        let model = ModelMemory { name: "m".into(), weights: Some(weights), shape: None, layout: Layout::new(65_536) };
        Estimate { models: vec![model], kept_prompts, cache_setting: None }
    }

    fn machine(total: u64, free: u64, graphics: u64) -> Machine {
        let graphics = Amount { total: graphics, free: graphics };
        Machine { ram: Amount { total, free }, graphics, ..Machine::default() }
    }

    #[test]
    fn need_above_total_memory_does_not_fit() {
        assert_eq!(estimate(20 * GB, 0).fit(&machine(16 * GB, 12 * GB, 0)), Fit::No);
        assert_eq!(estimate(16 * GB, 0).fit(&machine(16 * GB, 12 * GB, 0)), Fit::Tight);
    }

    #[test]
    fn need_above_free_memory_is_tight() {
        assert_eq!(estimate(13 * GB, 0).fit(&machine(16 * GB, 12 * GB, 0)), Fit::Tight);
        assert_eq!(estimate(12 * GB, 0).fit(&machine(16 * GB, 12 * GB, 0)), Fit::Yes);
        // The prompt cache fills later, so it can make the fit tight but not impossible.
        assert_eq!(estimate(12 * GB, GB).fit(&machine(16 * GB, 12 * GB, 0)), Fit::Tight);
        assert_eq!(estimate(16 * GB, GB).fit(&machine(16 * GB, 16 * GB, 0)), Fit::Tight);
    }

    #[test]
    fn graphics_memory_is_added_to_ram() {
        assert_eq!(estimate(20 * GB, 0).fit(&machine(16 * GB, 12 * GB, 24 * GB)), Fit::Yes);
        assert_eq!(estimate(50 * GB, 0).fit(&machine(16 * GB, 12 * GB, 24 * GB)), Fit::No);
    }

    #[test]
    fn sums_do_not_overflow() {
        let mut huge = estimate(u64::MAX, u64::MAX);
        huge.models.push(huge.models[0].clone());
        assert_eq!(huge.fit(&machine(16 * GB, 12 * GB, 0)), Fit::No);
    }
}
