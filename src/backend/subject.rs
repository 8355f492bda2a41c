//! The input of every check of `lclaude local doctor`.

use std::path::Path;

use super::downloads::refuse_download;
use crate::{
    base::{
        check::{Area, Check},
        environment::Environment,
        error::{Code, Failure},
        ui,
    },
    config::Settings,
};

/// The area of the backend checks.
pub(crate) const AREA: Area = Area::Backends;

/// What is checked.
pub(crate) struct Subject<'a> {
    pub settings: &'a Settings,
    pub environment: &'a Environment,
    /// The user's own configuration file.
    pub file: &'a Path,
    /// Whether the user agrees to downloads.
    pub yes: bool,
}

impl Subject<'_> {
    /// Returns the failure with the command that edits the configuration, if that can help.
    pub(crate) fn with_edit_help(&self, failure: Failure) -> Failure {
        with_edit_help(failure, self.file)
    }

    /// Returns a failed check.
    pub(crate) fn failed(&self, name: &'static str, failure: Failure) -> Check {
        Check::failed(AREA, name, &self.with_edit_help(failure))
    }

    /// Returns the failed check for missing models that an untrusted project file must not download, if there are any.
    pub(crate) fn refused(&self, missing: &[String]) -> Option<Check> {
        let failure = refuse_download(self.settings.untrusted_choice(), missing.first()?).err()?;
        Some(Check::failed(AREA, "model", &failure))
    }
}

/// Returns the failure with the command that edits `file`, if that can help.
pub(crate) fn with_edit_help(failure: Failure, file: &Path) -> Failure {
    let edit = edit_command(file);
    if failure.code == Code::Usage || !file.is_file() || failure.help.contains(&edit) {
        failure
    } else {
        failure.help(edit)
    }
}

/// Returns the command that edits a file.
pub(crate) fn edit_command(file: &Path) -> String {
    format!("${{EDITOR:-vi}} {}", ui::quote_path(file))
}
