//! What every check of `lclaude local doctor` is about.

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

/// The area of all these checks.
pub const AREA: Area = Area::Backends;

/// What every check is about.
pub struct Subject<'a> {
    pub settings: &'a Settings,
    pub environment: &'a Environment,
    /// The user's own configuration.
    pub file: &'a Path,
    /// Whether the user agrees to a download.
    pub yes: bool,
}

impl Subject<'_> {
    /// Returns the failure with the command that opens the configuration, where that may help.
    pub fn correctable(&self, failure: Failure) -> Failure {
        correctable(failure, self.file)
    }

    /// Returns a failed check.
    pub fn failed(&self, name: &'static str, failure: Failure) -> Check {
        Check::failed(AREA, name, &self.correctable(failure))
    }

    /// Returns the failed check for models that nobody may download here, if any is missing.
    pub fn refused(&self, missing: &[String]) -> Option<Check> {
        let failure = refuse_download(self.settings.untrusted_choice(), missing.first()?).err()?;
        Some(Check::failed(AREA, "model", &failure))
    }
}

/// Returns the failure with the command that opens `file`, where that may help.
pub fn correctable(failure: Failure, file: &Path) -> Failure {
    let edit = edit(file);
    if failure.code == Code::Usage || !file.is_file() || failure.help.contains(&edit) {
        failure
    } else {
        failure.help(edit)
    }
}

/// Returns the command that opens a file.
pub fn edit(file: &Path) -> String {
    format!("${{EDITOR:-vi}} {}", ui::quoted(file))
}
