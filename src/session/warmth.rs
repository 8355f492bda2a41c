//! What a session contributes to warm starts: how its first request begins.

use std::path::Path;

use crate::{
    claude::{Recorded, Recording},
    keeper::{ConversationKind, FirstRequest, WarmStart},
};

/// Waits for the session's first request.
pub(super) struct Warmth {
    recording: Recording,
    conversation: ConversationKind,
    is_done: bool,
}

impl Warmth {
    /// Starts to wait. Returns `None` if nothing may be kept of this session, or if the system can't watch a directory.
    pub(super) fn start(warm: WarmStart, scratch: &Path) -> Option<Self> {
        let recording = Some(scratch).filter(|_| warm.store.writes()).and_then(Recording::start)?;
        Some(Warmth { recording, conversation: warm.conversation, is_done: false })
    }

    /// Returns the variable that makes Claude Code tell its first request, and its value.
    pub(super) fn variable(&self) -> (String, String) {
        self.recording.variable()
    }

    /// Returns the first request once, and then never again. May be dropped and called again.
    pub(super) async fn first_request(&mut self) -> FirstRequest {
        if !self.is_done {
            let recorded = self.recording.first().await;
            self.is_done = true;
            if let Some(Recorded { prefix, size }) = recorded {
                return FirstRequest { conversation: self.conversation.clone(), prefix, size };
            }
        }
        std::future::pending().await
    }
}
