//! Every kind of backend. Adding one is a folder, a line here, a `Kind`, and a field of `Settings`.

use std::fs;

use super::{
    command::Command, endpoint::Endpoint, figures::Figures, http::client_for, interface::Backend, llamacpp::LlamaCpp,
    lmstudio::LmStudio, ollama::Ollama, plan, undo::Undo,
};
use crate::config::Kind;

/// All of them, in the order in which lclaude looks for one when the user names none.
pub static ALL: [&dyn Backend; 5] = [&Ollama, &LmStudio, &LlamaCpp, &Command, &Endpoint];

/// Returns the backend of a kind.
pub fn backend(kind: Kind) -> &'static dyn Backend {
    ALL.into_iter().find(|backend| backend.kind() == kind).expect("every kind is in the registry")
}

/// Returns the backend that the configuration calls `name`, or `None` for a name that a later version knows.
pub fn by_name(name: &str) -> Option<&'static dyn Backend> {
    ALL.into_iter().find(|backend| backend.kind().name() == name)
}

/// Returns how a backend is getting on. `kind`: as its keeper says it, which may know more kinds than we do.
pub async fn figures(kind: &str, endpoint: &plan::Endpoint, models: &[String]) -> Figures {
    match by_name(kind) {
        Some(backend) => backend.figures(&client_for(&endpoint.url), endpoint, models).await,
        None => Figures::default(),
    }
}

/// Undoes what was done to a server that goes on without us. No failure here matters: what has gone needs no undoing.
pub async fn undo(undo: &Undo) {
    match undo {
        Undo::Restore { file, content: Some(content) } => {
            if fs::read_to_string(file).is_ok_and(|now| now != *content) {
                let _ = fs::write(file, content);
            }
        }
        Undo::Restore { file, content: None } => {
            let _ = fs::remove_file(file);
        }
        undo => {
            for backend in ALL {
                if backend.undo(undo).await {
                    return;
                }
            }
        }
    }
}
