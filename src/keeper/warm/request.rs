//! What sessions tell their keeper about their prompts.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::warm::{Key, Prefix, Store};

/// What a session wants of warm starts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WarmStart {
    pub store: Store,
    pub conversation: ConversationKind,
}

/// Names the conversations that start the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConversationKind {
    /// In one project.
    pub project: Key,
    /// In all projects.
    pub anywhere: Key,
}

/// The beginning of a session's first request, as the session saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FirstRequest {
    pub conversation: ConversationKind,
    pub prefix: Prefix,
    /// The bytes of the whole request.
    pub size: usize,
}

/// The last first request of any session. `is_alone`: whether that session was the only one.
pub(crate) type Requests = watch::Receiver<Option<(FirstRequest, bool)>>;
