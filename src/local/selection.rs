//! The settings that a verb's options lead to.

use crate::{
    base::{environment::Environment, error::Result, ui},
    claude,
    cli::Selection,
    config::{Project, Settings},
    launch,
};

impl Selection {
    /// The settings that a session would have here.
    pub fn settings(&self, environment: &Environment) -> Result<Settings> {
        launch::settings(&self.choice, &self.overrides(), environment)
    }

    /// The same, for a look at what would be.
    pub fn quiet_settings(&self, environment: &Environment) -> Result<Settings> {
        let project = Project::find(environment)?;
        launch::own_settings(&self.choice, &self.overrides(), project.as_ref(), environment)
    }
}

/// What our variables cannot do for a Claude Code that other programs start; `reads_own`: whether those read the user's own settings.
pub fn warn_of_settings(environment: &Environment, reads_own: bool) -> Result<()> {
    for words in claude::warnings_without_overlay(environment, reads_own)? {
        ui::say(format_args!("lclaude: {words}"));
    }
    Ok(())
}
