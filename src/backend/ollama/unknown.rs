//! A model that Ollama does not have.

use crate::{
    backend::names,
    base::error::{Code, Failure},
};

/// The failure for a model that Ollama does not have, with the nearest one that it has.
pub fn unknown(model: &str, installed: &[String]) -> Failure {
    let why = match installed {
        [] => "no model is installed yet".to_owned(),
        installed => format!("installed are {}", installed.join(", ")),
    };
    let failure = Failure::new(Code::Unavailable, format!("Ollama has no model {model}")).why(why);
    let failure = match names::nearest_model(model, installed.iter().map(String::as_str)) {
        Some(near) => failure.help(format!("did you mean --model {near}?")),
        None => failure,
    };
    // Its own command needs a server that runs; --yes does not.
    failure.help("lclaude --yes, with the other options you gave, pulls it").help(format!("ollama pull {model}"))
}
