//! Whether a model fits into memory, said before it is downloaded or loaded.
//!
//! `gguf` and `shape` tell what a model takes, `linux` or `macos` and `tools` what there is, this file compares the two,
//! and `advice` puts it into words. Nothing here knows of backends or settings, and nothing is run but the programs that
//! report graphics memory, which is why nobody may ask while joining a server that is up.

use super::shape::Layout;
use super::shape::Shape;
use super::system;
use super::{
    gguf,
    machine::{Fit, Machine},
};
use std::path::Path;

/// A model that is to be loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub name: String,
    /// Bytes of its files, where they are known.
    pub weights: Option<u64>,
    pub shape: Option<Shape>,
    pub layout: Layout,
}

impl Model {
    /// What the file says, and how long it is; a file that cannot be read says nothing here, since others report that.
    pub fn read(name: String, file: &Path, layout: Layout) -> Self {
        match gguf::Header::read(file) {
            Ok(header) => Model::of(name, &header, file, layout),
            Err(_) => Model { name, weights: None, shape: None, layout },
        }
    }

    /// The same, of a header that was read already.
    pub fn of(name: String, header: &gguf::Header, file: &Path, layout: Layout) -> Self {
        let shape = Shape::of(header);
        Model { name, weights: shape.as_ref().and_then(|_| gguf::size(file)), shape, layout }
    }

    /// The default model before it is here: its form as its own `config.json` has it, and the size of the files that
    /// Ollama and unsloth publish as Q4_K_M (18.3 to 19 GB).
    pub fn glm_4_7_flash(name: String, layout: Layout) -> Self {
        Model { name, weights: Some(18_500_000_000), shape: Some(Shape::glm_4_7_flash()), layout }
    }
}

/// All that a server will load.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    pub models: Vec<Model>,
    /// Bytes that the server may come to fill with prompts it has seen.
    pub kept_prompts: u64,
    /// The setting for the type of the KV cache, with `{}` for the type, if there is one.
    pub cache_setting: Option<&'static str>,
}

/// What a server takes, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Need {
    pub weights: u64,
    pub cache: u64,
    pub buffers: u64,
}

impl Need {
    pub fn total(self) -> u64 {
        [self.weights, self.cache, self.buffers].into_iter().fold(0, u64::saturating_add)
    }
}

impl Estimate {
    pub fn need(&self) -> Need {
        self.need_with(Layout::clone)
    }

    /// The same, were each model laid out otherwise.
    pub fn need_with(&self, layout: impl Fn(&Layout) -> Layout) -> Need {
        let one = |need: Need, model: &Model| {
            let layout = layout(&model.layout);
            let of = |bytes: fn(&Shape, &Layout) -> u64| model.shape.as_ref().map_or(0, |shape| bytes(shape, &layout));
            Need {
                weights: need.weights.saturating_add(model.weights.unwrap_or(0)),
                cache: need.cache.saturating_add(of(Shape::cache)),
                buffers: need.buffers.saturating_add(of(Shape::buffers)),
            }
        };
        self.models.iter().fold(Need::default(), one)
    }

    /// Whether anything is known at all.
    pub fn is_known(&self) -> bool {
        self.models.iter().any(|model| model.weights.is_some() || model.shape.is_some())
    }

    /// Whether the figures are no more than a lower bound.
    pub fn is_partial(&self) -> bool {
        self.models.iter().any(|model| model.weights.is_none() || model.shape.is_none())
    }

    /// What is certain and what is not: memory that others use now may be free in a moment, and files are only mapped;
    /// what is more than all there is can at best crawl.
    pub fn fit(&self, machine: &Machine) -> Fit {
        machine.fit(self.need().total(), self.kept_prompts)
    }

    /// Compares it with this machine.
    pub fn weigh(&self) -> Option<(Fit, Machine)> {
        weigh(self.need().total(), self.kept_prompts)
    }
}

/// Compares bytes with this machine. Programs are asked for graphics memory only where the rest does not do.
pub fn weigh(need: u64, kept_prompts: u64) -> Option<(Fit, Machine)> {
    let machine = Machine::look()?;
    if machine.fit(need, kept_prompts) == Fit::Yes {
        return Some((Fit::Yes, machine));
    }
    let machine = machine.with_tools();
    Some((machine.fit(need, kept_prompts), machine))
}

/// The memory there is in all, whoever uses it now.
pub fn total() -> Option<u64> {
    system::ram().map(|ram| ram.total)
}

#[cfg(test)]
mod tests {
    use super::{super::amount::Amount, *};

    const GB: u64 = 1_000_000_000;

    fn estimate(weights: u64, kept_prompts: u64) -> Estimate {
        let model = Model { name: "m".into(), weights: Some(weights), shape: None, layout: Layout::new(65_536) };
        Estimate { models: vec![model], kept_prompts, cache_setting: None }
    }

    fn machine(total: u64, free: u64, graphics: u64) -> Machine {
        Machine { ram: Amount { total, free }, graphics: Amount { total: graphics, free: graphics } }
    }

    #[test]
    fn what_is_more_than_there_is_does_not_fit() {
        assert_eq!(estimate(20 * GB, 0).fit(&machine(16 * GB, 12 * GB, 0)), Fit::No);
        assert_eq!(estimate(16 * GB, 0).fit(&machine(16 * GB, 12 * GB, 0)), Fit::Tight);
    }

    #[test]
    fn what_others_use_now_makes_it_tight() {
        assert_eq!(estimate(13 * GB, 0).fit(&machine(16 * GB, 12 * GB, 0)), Fit::Tight);
        assert_eq!(estimate(12 * GB, 0).fit(&machine(16 * GB, 12 * GB, 0)), Fit::Yes);
        // What is only filled later counts too, but refuses nothing.
        assert_eq!(estimate(12 * GB, GB).fit(&machine(16 * GB, 12 * GB, 0)), Fit::Tight);
        assert_eq!(estimate(16 * GB, GB).fit(&machine(16 * GB, 16 * GB, 0)), Fit::Tight);
    }

    #[test]
    fn graphics_memory_counts_beside_the_rest() {
        assert_eq!(estimate(20 * GB, 0).fit(&machine(16 * GB, 12 * GB, 24 * GB)), Fit::Yes);
        assert_eq!(estimate(50 * GB, 0).fit(&machine(16 * GB, 12 * GB, 24 * GB)), Fit::No);
    }

    #[test]
    fn sums_do_not_run_over() {
        let mut huge = estimate(u64::MAX, u64::MAX);
        huge.models.push(huge.models[0].clone());
        assert_eq!(huge.fit(&machine(16 * GB, 12 * GB, 0)), Fit::No);
    }
}
