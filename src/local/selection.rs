//! The settings that a verb's options lead to.

use std::path::Path;

use crate::{
    base::{error::Result, paths::Places, ui},
    claude,
    cli::Selection,
    config::{Project, Settings},
    launch,
    session::plan,
};

impl Selection {
    /// The settings that a session would have here.
    pub fn settings(&self, places: &Places) -> Result<Settings> {
        launch::settings(&self.choice, &self.overrides(), places)
    }

    /// The same, for a look at what would be.
    pub fn quiet_settings(&self, places: &Places) -> Result<Settings> {
        let project = Project::find(&plan::here()?, places)?;
        launch::own_settings(&self.choice, &self.overrides(), project.as_ref(), places)
    }
}

/// What our variables cannot do for a Claude Code that other programs start; `home`: the user's, unless it is kept out.
pub fn warn_of_settings(home: Option<&Path>) -> Result<()> {
    for words in claude::warnings_without_overlay(home, &plan::here()?) {
        ui::say(format_args!("lclaude: {words}"));
    }
    Ok(())
}
