//! The failure for a model that isn't installed.

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
        Some(near) => failure.help(format!("did you mean `--model {near}`?")),
        None => failure,
    };
    // `ollama pull` comes last, since it needs a running server.
    failure
        .help(format!("lclaude --backend ollama --model {model} --yes  # downloads it"))
        .help(format!("ollama pull {model}"))
}
