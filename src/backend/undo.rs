//! Changes to servers that keep running, recorded as data so that they can be undone.
//!
//! Each change is recorded before it is made, so that it can be undone even after a crash. Undoing twice is harmless.
//! The kind that made a change implements its undo.

use std::{fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::plan::{Endpoint, StopCommand};
use crate::base::process::Identity;

/// What lclaude started of LM Studio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Started {
    /// An `lms` command is starting it, and the keeper has not recorded the result yet.
    By {
        command: Identity,
        keeper: Identity,
    },
    Daemon(Identity),
    /// `lms` starts the app if there is no daemon.
    App(Identity),
}

/// How to undo one change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Undo {
    /// Unload a model from Ollama at `url`.
    Unload { url: String, model: String },
    /// Run `lms` with these arguments, unless the process `of` is gone. A later LM Studio must stay as it is.
    Tell { lms: PathBuf, arguments: Vec<String>, of: Option<Identity> },
    /// Stop LM Studio, which lclaude started.
    End { lms: PathBuf, started: Started },
    /// Run `command` to end the server at `endpoint`, which may outlive its program. Its output is added to `log`.
    Stop { command: Box<StopCommand>, endpoint: Endpoint, log: PathBuf },
    /// Restore a file's content, or remove the file if `content` is `None`.
    Restore { file: PathBuf, content: Option<String> },
}

impl Undo {
    /// Returns the undo that restores `file` to its current content, or `None` if it can't be read.
    pub(crate) fn restore(file: PathBuf) -> Option<Self> {
        match fs::read_to_string(&file) {
            Ok(content) => Some(Undo::Restore { content: Some(content), file }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Undo::Restore { content: None, file }),
            Err(_) => None,
        }
    }

    /// Adds it to a list, unless it is there already.
    pub(crate) fn add_to(self, all: &mut Vec<Undo>) {
        use Started::By;

        // The result of a command replaces the entry for the command.
        if matches!((all.last(), &self), (Some(Undo::End { started: By { .. }, .. }), Undo::End { .. })) {
            all.pop();
        }
        if !all.contains(&self) {
            all.push(self);
        }
    }
}
