//! Estimates the memory of Ollama's runner, which is llama.cpp's `llama-server` on the store's GGUF files.

use std::path::Path;

use super::{blobs::Blobs, plan::DEFAULT_MODEL, store};
use crate::{
    backend::plan::{BackendPlan, Service},
    base::environment::Environment,
    config::Settings,
    memory::{Estimate, Layout, ModelMemory},
};

/// Returns the estimate for a private server, or `None` for the user's own. Don't call it to join a running server,
/// since it reads the models' files.
pub(crate) fn estimate(settings: &Settings, plan: &BackendPlan, environment: &Environment) -> Option<Estimate> {
    let Service::Program(_) = plan.service else {
        return None;
    };
    let place = store::of(plan, environment.home())?;
    let models = plan.models.iter().filter(|model| !store::is_cloud(model));
    let models = models.map(|name| match Blobs::of(&place, name) {
        Some(blobs) => model(name, &blobs, layout(settings)),
        None if store::find(&place, name).is_none() && store::is_same(name, DEFAULT_MODEL) => {
            ModelMemory::glm_4_7_flash(name.clone(), layout(settings))
        }
        None => ModelMemory { name: name.clone(), weights: None, shape: None, layout: layout(settings) },
    });
    Some(Estimate { models: models.collect(), kept_prompts: 0, cache_setting: Some("[ollama] kv_cache_type = \"{}\"") })
}

/// Returns the memory layout that the settings give.
pub(crate) fn layout(settings: &Settings) -> Layout {
    let given = settings.ollama.env.get("OLLAMA_KV_CACHE_TYPE").or(settings.ollama.kv_cache_type.as_ref());
    let layout = Layout::new(settings.context());
    given.map_or(layout.clone(), |kind| layout.with_cache(kind))
}

/// Returns the memory use of a model in the store.
pub(crate) fn model(name: &str, blobs: &Blobs, layout: Layout) -> ModelMemory {
    let file = blobs.weights.as_deref();
    let read = |file: &Path| ModelMemory::read(name.to_owned(), file, layout.clone());
    let model = file
        .map_or_else(|| ModelMemory { name: name.into(), weights: None, shape: None, layout: layout.clone() }, read);
    // Ollama limits the context to what the model was trained for, and the Modelfile overrides the requested one.
    let trained = model.shape.as_ref().and_then(|shape| shape.trained).unwrap_or(u32::MAX);
    let context = blobs.fixed_context().unwrap_or(layout.context).min(trained);
    ModelMemory { weights: model.shape.as_ref().map(|_| blobs.size), layout: layout.with_context(context), ..model }
}
