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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LlamaCppSettings;

    /// A template changes only the tokens, which are compared, and its fingerprint is part of the plan.
    #[test]
    fn only_a_model_with_another_one_beside_it_is_not_saved() {
        let file = || Some("/m/x".into());
        let options = LlamaCppSettings {
            mmproj: file(),
            draft_model: file(),
            chat_template_file: file(),
            ..LlamaCppSettings::default()
        };
        let is_unsafe = |option: &str| UNSAFE.iter().any(|name| option.starts_with(name));
        let refused: Vec<&str> =
            options.model_files().map(|(_, option, _)| option).filter(|option| is_unsafe(option)).collect();
        assert_eq!(refused, ["--mmproj", "--model-draft"]);
    }
}
