//! Which of llama-server's slots can be saved and restored.

use super::{cache, plan};
use crate::{
    backend::{
        plan::{BackendPlan, Program, Service},
        slots::{PromptCache, SlotCache},
    },
    base::environment::Environment,
    memory::{Layout, PromptReuse, Shape, gguf::Header},
};

/// Options whose effect on the cache isn't part of a slot's file, or with which a restored slot gives wrong answers (seen
/// with `--swa-full`). A name stands for all that start with it.
const UNSAFE: &[&str] = &[
    "--swa-full",
    "--mmproj",
    "-mm",
    "--lora",
    "--control-vector",
    "--model-draft",
    "-md",
    "--draft",
    "--spec-",
    "--hf-repo-draft",
    "-hfd",
    "--cache-reuse",
    "--override-kv",
    "--slots",
    "--no-slots",
];

/// Tokens in which a slot's size is given.
const THOUSAND: u32 = 1024;

/// Returns what becomes of a prompt's beginning. Reads the model's header.
pub(crate) fn prompt_cache(plan: &BackendPlan, environment: &Environment) -> PromptCache {
    let slot = match &plan.service {
        Service::Program(program) if plan.models.len() == 1 => slot(program, plan, environment),
        _ => None,
    };
    slot.map_or(PromptCache::Memory, PromptCache::Slot)
}

fn slot(program: &Program, plan: &BackendPlan, environment: &Environment) -> Option<SlotCache> {
    let is_unsafe = |argument: &String| UNSAFE.iter().any(|name| argument.starts_with(name));
    if program.cache.is_none() || program.arguments.iter().any(is_unsafe) {
        return None;
    }
    let named = plan::files(plan).into_iter().next();
    let model = named.or_else(|| cache::find(plan::repository(plan)?, environment))?;
    let shape = Shape::of(&Header::read(&model).ok()?)?;
    let layout = Layout { cache_k: "f32".into(), cache_v: "f32".into(), ..Layout::new(THOUSAND) };
    let reuse = shape.reuse();
    (reuse != PromptReuse::Nothing).then(|| SlotCache { model, reuse, bytes: shape.cache(&layout) })
}
