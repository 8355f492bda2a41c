//! The models of all backends, and which backend has a model of a name.

use super::{
    interface::Backend,
    listed::ListedModel,
    names,
    registry::{ALL, backend},
};
use crate::{
    base::{environment::Environment, error::Failure},
    config::{Kind, Settings},
};

/// The models of the backends that could be asked.
pub(crate) struct Installed {
    pub models: Vec<(Kind, ListedModel)>,
    /// The backends that could not be asked.
    pub failures: Vec<(Kind, Failure)>,
}

impl Installed {
    /// Lists the models of `only`, or of all backends. Starts nothing. Reads the headers of models and asks servers
    /// that run, so it may take seconds.
    pub(crate) async fn list(settings: &Settings, environment: &Environment, only: Option<Kind>) -> Self {
        let mut installed = Installed { models: Vec::new(), failures: Vec::new() };
        for backend in ALL.into_iter().filter(|backend| only.is_none_or(|only| only == backend.kind())) {
            let kind = backend.kind();
            match backend.models(settings, environment, only.is_some()).await {
                Ok(models) => installed.models.extend(models.into_iter().flatten().map(|model| (kind, model))),
                Err(failure) => installed.failures.push((kind, failure)),
            }
        }
        installed
    }

    /// Returns the backends that have the model, each with the name to configure.
    pub(crate) fn owners(&self, name: &str) -> Vec<(Kind, &str)> {
        let is_it =
            |kind: Kind, model: &ListedModel| model.name == name || backend(kind).is_same_model(&model.served, name);
        let mut owners: Vec<(Kind, &str)> = Vec::new();
        for (kind, model) in self.models.iter().filter(|(kind, model)| is_it(*kind, model)) {
            if !owners.iter().any(|(known, _)| known == kind) {
                owners.push((*kind, &model.name));
            }
        }
        owners
    }

    /// Returns the name most similar to `name`, if it is similar enough to be meant.
    pub(crate) fn nearest(&self, name: &str) -> Option<&str> {
        names::nearest_model(name, self.models.iter().map(|(_, model)| model.name.as_str()))
    }

    /// Returns the first names, for a message.
    pub(crate) fn describe(&self) -> String {
        match &self.models.iter().map(|(_, model)| model.name.as_str()).collect::<Vec<_>>()[..] {
            [] => "no model is installed".into(),
            names => format!("installed: {}", names::list_some(names)),
        }
    }
}

/// Returns the only kind that can run a model with this name, whether or not it is on this machine: a GGUF file, or a
/// repository of GGUF files on Hugging Face.
pub(crate) fn only_kind(name: &str) -> Option<Kind> {
    let claiming = ALL.into_iter().find(|backend| backend.claims_model(name)).map(Backend::kind);
    claiming.or(names_gguf_repository(name).then_some(Kind::LlamaCpp))
}

/// Returns whether a name is that of a repository, `user/repo-GGUF[:quant]`. One with a host, such as
/// `hf.co/user/repo`, is Ollama's.
fn names_gguf_repository(name: &str) -> bool {
    let repository = name.split(':').next().unwrap_or_default();
    repository.split_once('/').is_some_and(|(user, repository)| {
        !user.contains('.') && !repository.contains('/') && repository.to_lowercase().contains("gguf")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_llamacpp_runs_files_and_repositories() {
        for name in ["x.gguf", "~/models/X.GGUF", "unsloth/Qwen3-GGUF", "unsloth/Qwen3-GGUF:Q4_K_M"] {
            assert_eq!(only_kind(name), Some(Kind::LlamaCpp), "{name}");
        }
        for name in ["qwen3:4b", "me/coder:30b", "hf.co/unsloth/Qwen3-GGUF", "qwen3-gguf", ""] {
            assert_eq!(only_kind(name), None, "{name}");
        }
    }
}
