//! Picks the configured model from LM Studio's models.

use super::{download::is_exact, model::InstalledModel, plan::DEFAULT_MODEL};
use crate::{
    backend::{
        names::nearest_model,
        starting::{MissingModel, ReportedModel, StartError},
    },
    base::error::{Code, Failure},
};

/// The most models that are reported to the session, which a message to it has room for.
const MAX_REPORTED: usize = 1000;

/// Why a model can't be used.
pub(crate) enum PickError {
    /// LM Studio can download it.
    Missing(MissingModel),
    Failed(Failure),
}

impl From<PickError> for Failure {
    fn from(error: PickError) -> Self {
        match error {
            PickError::Missing(MissingModel { failure, .. }) | PickError::Failed(failure) => failure,
        }
    }
}

impl From<PickError> for StartError {
    fn from(error: PickError) -> Self {
        match error {
            PickError::Missing(missing) => StartError::ModelMissing(missing),
            PickError::Failed(failure) => StartError::Failed(failure),
        }
    }
}

/// Returns the model with this key.
///
/// # Errors
/// `Unavailable` if it isn't on this machine or doesn't support tools.
pub(crate) fn pick(key: &str, known: Vec<InstalledModel>) -> Result<InstalledModel, PickError> {
    let (mut installed, elsewhere): (Vec<InstalledModel>, Vec<InstalledModel>) =
        known.into_iter().partition(InstalledModel::is_local);
    let Some(at) = installed.iter().position(|model| model.model_key == key) else {
        let failure = match elsewhere.iter().any(|model| model.model_key == key) {
            true => on_another_machine(key),
            false => not_installed(key, &installed),
        };
        return Err(PickError::Missing(missing(key, failure, &installed)));
    };
    if !installed[at].trained_for_tool_use {
        let capable = installed.iter().filter(|model| model.trained_for_tool_use);
        let capable: Vec<&str> = capable.map(|model| model.model_key.as_str()).collect();
        let failure = Failure::new(Code::Unavailable, format!("{key} cannot call tools")).cause(
            "Claude Code reads and writes files with tools, and LM Studio reports no tool support for this model",
        );
        return Err(PickError::Failed(match capable.first() {
            Some(first) => failure
                .help(format!("lclaude --backend lmstudio --model {first}"))
                .help(format!("installed models with tool support: {}", capable.join(", "))),
            None => failure.help(format!("lms get {DEFAULT_MODEL}")),
        }));
    }
    Ok(installed.swap_remove(at))
}

fn not_installed(key: &str, installed: &[InstalledModel]) -> Failure {
    let names: Vec<&str> = installed.iter().map(|model| model.model_key.as_str()).collect();
    let why = match names[..] {
        [] => "no models are installed".to_owned(),
        _ => format!("installed models: {} (keys must match exactly)", names.join(", ")),
    };
    let failure = Failure::new(Code::Unavailable, format!("model {key} is not installed in LM Studio")).cause(why);
    match nearest_model(key, names.iter().copied()) {
        Some(near) => failure.help(format!("lclaude --backend lmstudio --model {near}")),
        None => failure,
    }
}

fn on_another_machine(key: &str) -> Failure {
    Failure::new(Code::Unavailable, format!("model {key} is only on another machine"))
        .cause("LM Link provides it, so your code would be sent there")
}

/// Returns the missing model, with the commands that download it and the models that can be used instead.
fn missing(key: &str, failure: Failure, installed: &[InstalledModel]) -> MissingModel {
    let can_download = is_exact(key);
    let failure = match can_download {
        true => failure
            .help(format!("lms get {key}"))
            .help(format!("lclaude --backend lmstudio --model {key} --yes  # downloads it")),
        false => failure.help(format!("lms get {key}  # then use the exact key, OWNER/NAME")),
    };
    let capable = installed.iter().filter(|model| model.trained_for_tool_use).take(MAX_REPORTED);
    let reported = |model: &InstalledModel| ReportedModel {
        name: model.model_key.clone(),
        size: model.size_bytes,
        trained: model.max_context_length,
    };
    MissingModel { model: key.to_owned(), can_download, failure, installed: capable.map(reported).collect() }
}
