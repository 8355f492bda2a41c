//! The settings for a verb's options.

use crate::{
    base::{environment::Environment, error::Result, ui},
    claude,
    cli::Selection,
    config::{Project, Settings},
    launch,
};

impl Selection {
    /// Returns the settings of a session with these options, and warns about unknown environment variables.
    pub(crate) fn settings(&self, environment: &Environment) -> Result<Settings> {
        launch::settings(&self.choice, &self.overrides(), environment)
    }

    /// Returns the same settings without printing warnings.
    pub(crate) fn settings_without_warnings(&self, environment: &Environment) -> Result<Settings> {
        let project = Project::find(environment)?;
        launch::load_settings(&self.choice, &self.overrides(), project.as_ref(), environment)
    }
}

/// Warns about settings files that override our variables in a Claude Code that another program starts.
///
/// `reads_own`: whether it reads the user's own settings.
pub(crate) fn warn_about_settings(environment: &Environment, reads_own: bool) -> Result<()> {
    for warning in claude::warnings_without_overlay(environment, reads_own)? {
        ui::message_lines(format_args!("lclaude: {warning}"));
    }
    Ok(())
}
