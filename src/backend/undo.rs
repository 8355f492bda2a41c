//! What was done to a server that goes on without us, and how it is undone.
//!
//! Each is written down before it is done, so that whoever finds it, after a crash too, can undo it. Undoing twice does no
//! harm. Here it is data; the kind that did it knows how to undo it.

use std::{fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::process::Identity;

/// What was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Started {
    /// A command of `lms` is starting it, for a keeper that has yet to write down what.
    By {
        command: Identity,
        keeper: Identity,
    },
    Daemon(Identity),
    /// `lms` starts it where there is no daemon.
    App(Identity),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// Have Ollama at `url` unload a model.
    Unload { url: String, model: String },
    /// Have `lms` tell `of` something, if that still runs: another one since is none of our business.
    Tell { lms: PathBuf, arguments: Vec<String>, of: Option<Identity> },
    /// End LM Studio, which did not run before.
    End { lms: PathBuf, started: Started },
    /// Put a file back as it was; `None`: it was not there.
    Restore { file: PathBuf, content: Option<String> },
}

impl Undo {
    /// What puts `file` back as it is now; `None` if it cannot be read, and so not be put back either.
    pub fn restore(file: PathBuf) -> Option<Self> {
        match fs::read_to_string(&file) {
            Ok(content) => Some(Undo::Restore { content: Some(content), file }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Undo::Restore { content: None, file }),
            Err(_) => None,
        }
    }

    /// Adds it to what is to be undone, where it is not among that yet.
    pub fn add_to(self, all: &mut Vec<Undo>) {
        use Started::By;

        // What a command starts is known better once it has.
        if matches!((all.last(), &self), (Some(Undo::End { started: By { .. }, .. }), Undo::End { .. })) {
            all.pop();
        }
        if !all.contains(&self) {
            all.push(self);
        }
    }
}
