//! LM Studio's models, asked for only where that starts nothing.

use super::model::Model;
use super::plan::{Studio, identifier, plan};
use crate::{
    backend::listed::Listed,
    base::environment::Environment,
    base::error::{Code, Failure, Result},
    config::Settings,
    memory::{self, Layout},
};

pub async fn list(settings: &Settings, environment: &Environment) -> Result<Vec<Listed>> {
    let Some(studio) = Studio::of(&plan(settings, &[], environment)?) else {
        return Ok(Vec::new());
    };
    let models = studio.in_time(studio.models_of_running()).await?;
    Ok(models.into_iter().map(|model| studio.listed(model, settings.context())).collect())
}

/// The keys of all models, if LM Studio runs already.
pub async fn names(settings: &Settings, environment: &Environment) -> Option<Vec<String>> {
    let studio = Studio::of(&plan(settings, &[], environment).ok()?)?;
    let models = studio.models_of_running().await.ok()?;
    Some(models.into_iter().map(|model| model.model_key).collect())
}

impl Studio {
    /// # Errors
    /// `Unavailable` when it does not run: to ask would start it.
    async fn models_of_running(&self) -> Result<Vec<Model>> {
        if !self.runs().await? {
            return Err(Failure::new(Code::Unavailable, "LM Studio does not say which models it has")
                .why("it does not run, and to ask it would start it")
                .help(format!("{} daemon up, then the same again", self.lms.display())));
        }
        self.models().await
    }

    fn listed(&self, model: Model, context: u32) -> Listed {
        Listed {
            size: model.size_bytes,
            quantisation: model.quantization.as_ref().and_then(|quantization| quantization.name.clone()),
            trained: model.max_context_length,
            tools: Some(model.trained_for_tool_use),
            served: identifier(&model.model_key),
            model: Some(self.weighed(&model, context)),
            ..Listed::named(&model.model_key)
        }
    }

    /// What a model will take, by its own file where that is in the usual place.
    pub(super) fn weighed(&self, model: &Model, context: u32) -> memory::Model {
        let layout = Layout::new(model.max_context_length.map_or(context, |most| most.min(context)));
        let file = model.path.as_ref().map(|path| self.home.join("models").join(path));
        let read = file.map(|file| memory::Model::read(model.model_key.clone(), &file, layout.clone()));
        let shape = read.and_then(|read| read.shape);
        memory::Model { name: model.model_key.clone(), weights: model.size_bytes, shape, layout }
    }
}
