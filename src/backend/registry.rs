//! The list of all kinds. A new one needs a folder, an entry here, a `Kind` and a field of `Settings`.

use std::fs;

use reqwest::Client;

use super::{
    command::CommandBackend, endpoint::EndpointBackend, figures::Figures, interface::Backend,
    llamacpp::LlamaCppBackend, lmstudio::LmStudioBackend, ollama::OllamaBackend, plan, undo::Undo,
};
use crate::config::Kind;

/// All kinds, in the order in which lclaude looks for one if none is configured.
pub(crate) static ALL: [&dyn Backend; 5] =
    [&OllamaBackend, &LmStudioBackend, &LlamaCppBackend, &CommandBackend, &EndpointBackend];

/// Returns the backend of a kind.
pub(crate) fn backend(kind: Kind) -> &'static dyn Backend {
    ALL.into_iter().find(|backend| backend.kind() == kind).expect("every kind is in the registry")
}

/// Returns the backend that the configuration calls `name`, or `None` for a kind of a later version.
pub(crate) fn by_name(name: &str) -> Option<&'static dyn Backend> {
    ALL.into_iter().find(|backend| backend.kind().name() == name)
}

/// Returns a backend's live figures. `kind` comes from its keeper, which may be of a later version with more kinds.
pub(crate) async fn figures(kind: &str, client: &Client, endpoint: &plan::Endpoint, models: &[String]) -> Figures {
    match by_name(kind) {
        Some(backend) => backend.figures(client, endpoint, models).await,
        None => Figures::default(),
    }
}

/// Undoes a change to a server that keeps running. Failures are ignored: a server that is gone needs no undo.
pub(crate) async fn undo(undo: &Undo) {
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
