//! Picking the model that the user names out of those that LM Studio has.

use super::{download::is_exact, model::Model, plan::DEFAULT_MODEL};
use crate::{
    backend::names::nearest_model,
    base::error::{Code, Failure, Result},
};

/// The model of this key, if it is on this machine and can call tools.
pub fn pick(key: &str, known: Vec<Model>) -> Result<Model> {
    let (mut installed, elsewhere): (Vec<Model>, Vec<Model>) = known.into_iter().partition(Model::is_here);
    let Some(at) = installed.iter().position(|model| model.model_key == key) else {
        return Err(if elsewhere.iter().any(|model| model.model_key == key) {
            with_download(key, is_elsewhere(key))
        } else {
            with_download(key, not_installed(key, &installed))
        });
    };
    if !installed[at].trained_for_tool_use {
        let able = installed.iter().filter(|model| model.trained_for_tool_use);
        let able: Vec<&str> = able.map(|model| model.model_key.as_str()).collect();
        let failure = Failure::new(Code::Unavailable, format!("{key} cannot call tools"))
            .why("LM Studio says that it was not trained for that, and Claude Code reads and writes files with them");
        return Err(match able.first() {
            Some(first) => failure.help(format!("--model {first}; installed and able are {}", able.join(", "))),
            None => failure.help(format!("lms get {DEFAULT_MODEL}")),
        });
    }
    Ok(installed.swap_remove(at))
}

fn not_installed(key: &str, installed: &[Model]) -> Failure {
    let names: Vec<&str> = installed.iter().map(|model| model.model_key.as_str()).collect();
    let why = match names[..] {
        [] => "no model is installed yet".to_owned(),
        _ => format!("installed are {}; a key must match to the letter", names.join(", ")),
    };
    let failure = Failure::new(Code::Unavailable, format!("LM Studio has no model {key}")).why(why);
    match nearest_model(key, names.iter().copied()) {
        Some(near) => failure.help(format!("did you mean --model {near}?")),
        None => failure,
    }
}

fn is_elsewhere(key: &str) -> Failure {
    Failure::new(Code::Unavailable, format!("LM Studio has {key} on another machine only"))
        .why("it is there by LM Link, and your code would go there")
}

/// The failure, with how to download the model.
fn with_download(key: &str, failure: Failure) -> Failure {
    if !is_exact(key) {
        return failure.help(format!("lms get {key} asks which model that is; its exact name is OWNER/NAME"));
    }
    Failure { missing: Some(key.into()), ..failure }
        .help(format!("lms get {key}"))
        .help("or lclaude --yes, which does that")
}
