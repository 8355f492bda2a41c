//! The failure for a model that isn't installed.

use super::plan::{client_command, download_command};
use crate::{
    backend::names,
    base::error::{Code, Failure},
};

/// Returns the failure for a model that isn't installed, with the nearest installed one.
pub(crate) fn not_installed(model: &str, installed: &[String]) -> Failure {
    let why = match installed {
        [] => "no models are installed".to_owned(),
        installed => format!("installed models: {}", installed.join(", ")),
    };
    let failure = Failure::new(Code::Unavailable, format!("model {model} is not installed in Ollama")).cause(why);
    let failure = match names::nearest_model(model, installed.iter().map(String::as_str)) {
        Some(near) => failure.help(format!("lclaude --backend ollama --model {near}")),
        None => failure,
    };
    failure
        .help(format!("{}  # downloads it", download_command(model)))
        .help(format!("{}  # only downloads it", client_command(model, &format!("pull {model}"))))
}
