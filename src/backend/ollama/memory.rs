//! What Ollama's runner will take of memory: it is llama.cpp's `llama-server`, on the store's own GGUF files.

use crate::backend::plan::BackendPlan;
use std::path::Path;

use super::{blobs::Blobs, plan::DEFAULT_MODEL, store};
use crate::{
    backend::plan::Service,
    base::environment::Environment,
    config::Settings,
    memory::{Estimate, Layout, Model},
};

/// For a private server; what the user's own will do is its own business. Reads the models' files, so not while joining
/// a server.
pub fn estimate(settings: &Settings, plan: &BackendPlan, environment: &Environment) -> Option<Estimate> {
    let Service::Program(_) = plan.service else {
        return None;
    };
    let place = store::of(plan, environment.home())?;
    let models = plan.models.iter().filter(|model| !store::is_cloud(model));
    let models = models.map(|name| match Blobs::of(&place, name) {
        Some(blobs) => model(name, &blobs, layout(settings)),
        None if store::find(&place, name).is_none() && store::is_same(name, DEFAULT_MODEL) => {
            Model::glm_4_7_flash(name.clone(), layout(settings))
        }
        None => Model { name: name.clone(), weights: None, shape: None, layout: layout(settings) },
    });
    Some(Estimate { models: models.collect(), kept_prompts: 0, cache_setting: Some("[ollama] kv_cache_type = \"{}\"") })
}

/// How the server is told to lay out its memory.
pub fn layout(settings: &Settings) -> Layout {
    let given = settings.ollama.env.get("OLLAMA_KV_CACHE_TYPE").or(settings.ollama.kv_cache_type.as_ref());
    let layout = Layout::new(settings.context());
    given.map_or(layout.clone(), |kind| layout.with_cache(kind))
}

/// A model of the store.
pub fn model(name: &str, blobs: &Blobs, layout: Layout) -> Model {
    let file = blobs.weights.as_deref();
    let read = |file: &Path| Model::read(name.to_owned(), file, layout.clone());
    let model =
        file.map_or_else(|| Model { name: name.into(), weights: None, shape: None, layout: layout.clone() }, read);
    // Ollama gives no more than the model was trained for, and what the Modelfile says before what it is asked.
    let trained = model.shape.as_ref().and_then(|shape| shape.trained).unwrap_or(u32::MAX);
    let context = blobs.fixed_context().unwrap_or(layout.context).min(trained);
    Model { weights: model.shape.as_ref().map(|_| blobs.size), layout: layout.with_context(context), ..model }
}
