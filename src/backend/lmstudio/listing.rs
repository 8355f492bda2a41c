//! Lists LM Studio's models without starting it.

use super::{
    model::InstalledModel,
    plan::{Studio, identifier, plan},
};
use crate::{
    backend::listed::ListedModel,
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        ui,
    },
    config::Settings,
    memory::{self, Layout},
};

/// Returns the installed models.
///
/// # Errors
/// `Unavailable` if LM Studio isn't running or doesn't answer.
pub(crate) async fn list(settings: &Settings, environment: &Environment) -> Result<Vec<ListedModel>> {
    let Some(studio) = Studio::of(&plan(settings, &[], environment)?) else {
        return Ok(Vec::new());
    };
    let models = studio.in_time(studio.models_if_running()).await?;
    Ok(models.into_iter().map(|model| studio.listed(model, settings.context())).collect())
}

/// Returns the keys of all models, or `None` if LM Studio isn't running.
pub(crate) async fn names(settings: &Settings, environment: &Environment) -> Option<Vec<String>> {
    let studio = Studio::of(&plan(settings, &[], environment).ok()?)?;
    let models = studio.models_if_running().await.ok()?;
    Some(models.into_iter().map(|model| model.model_key).collect())
}

impl Studio {
    /// Returns the installed models.
    ///
    /// # Errors
    /// `Unavailable` if LM Studio isn't running, since listing them would start it.
    async fn models_if_running(&self) -> Result<Vec<InstalledModel>> {
        if !self.is_running().await? {
            return Err(Failure::new(Code::Unavailable, "LM Studio's models cannot be listed")
                .cause("LM Studio is not running, and listing them would start it")
                .help(format!("{} daemon up", ui::quote_path(&self.lms))));
        }
        self.local_models().await
    }

    fn listed(&self, model: InstalledModel, context: u32) -> ListedModel {
        ListedModel {
            size: model.size_bytes,
            quantization: model.quantization.as_ref().and_then(|quantization| quantization.name.clone()),
            trained: model.max_context_length,
            tools: Some(model.trained_for_tool_use),
            served: identifier(&model.model_key),
            model: Some(self.memory_model(&model, context)),
            ..ListedModel::named(&model.model_key)
        }
    }

    /// Returns a model's memory use, from its file if that is in the usual place.
    pub(super) fn memory_model(&self, model: &InstalledModel, context: u32) -> memory::ModelMemory {
        let layout = Layout::new(model.max_context_length.map_or(context, |most| most.min(context)));
        let file = model.path.as_ref().map(|path| self.home.join("models").join(path));
        let read = file.map(|file| memory::ModelMemory::read(model.model_key.clone(), &file, layout.clone()));
        let shape = read.and_then(|read| read.shape);
        memory::ModelMemory { name: model.model_key.clone(), weights: model.size_bytes, shape, layout }
    }
}
