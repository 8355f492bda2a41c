//! Picks the configured model from LM Studio's models.

use super::{download::is_exact, model::InstalledModel, plan::DEFAULT_MODEL};
use crate::{
    backend::{
        names::nearest_model,
        starting::{MissingModel, StartError},
    },
    base::error::{Code, Failure},
};

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
        return Err(if elsewhere.iter().any(|model| model.model_key == key) {
            with_download(key, on_another_machine(key))
        } else {
            with_download(key, not_installed(key, &installed))
        });
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
        Some(near) => failure.help(format!("did you mean `--model {near}`?")),
        None => failure,
    }
}

fn on_another_machine(key: &str) -> Failure {
    Failure::new(Code::Unavailable, format!("model {key} is only on another machine"))
        .cause("LM Link provides it, so your code would be sent there")
}

/// Returns the error for a model that may be downloaded, with the commands that do that.
fn with_download(key: &str, failure: Failure) -> PickError {
    if !is_exact(key) {
        return PickError::Failed(failure.help(format!("lms get {key}  # then use the exact key, OWNER/NAME")));
    }
    let failure = failure
        .help(format!("lms get {key}"))
        .help(format!("lclaude --backend lmstudio --model {key} --yes  # downloads it"));
    PickError::Missing(MissingModel { model: key.to_owned(), failure })
}
