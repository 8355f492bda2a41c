//! The file that an action is about.

use std::path::PathBuf;

use crate::{
    backend::subject::edit_command,
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
    },
    config::{
        Project,
        project::{self, FILE_NAME},
        read_text,
        trust::TrustList,
        values,
    },
};

/// A configuration file to show or change.
pub(super) struct Target {
    pub path: PathBuf,
    pub is_project: bool,
}

impl Target {
    /// Returns the project's file: the nearest one, or where a new one belongs.
    pub(super) fn of_project(environment: &Environment) -> Result<Self> {
        let project = |path| Target { path, is_project: true };
        if let Some(nearest) = project::locate(environment)? {
            return Ok(project(nearest));
        }
        project::root(environment)?.map(|directory| project(directory.join(FILE_NAME))).ok_or_else(|| {
            Failure::new(Code::Usage, "the home directory is not a project")
                .cause(format!("lclaude does not read a {FILE_NAME} here"))
                .help(edit_command(&environment.places.config_file))
        })
    }

    /// Returns the content, which is empty if the file is missing.
    ///
    /// # Errors
    /// `Config` if it can't be read, `Refused` if a project file is a link or not a file.
    pub(super) fn read(&self, environment: &Environment) -> Result<String> {
        if self.is_project {
            let project = Project::read(self.path.clone(), &TrustList::new(&environment.places.state))?;
            return Ok(project.map(|project| project.text).unwrap_or_default());
        }
        read_text(&self.path, false)
    }

    /// Checks the content.
    ///
    /// # Errors
    /// `Config` with the line of the first fault.
    pub(super) fn check(&self, text: &str) -> Result<()> {
        match self.is_project {
            true => values::check_project_file(text, &self.path),
            false => values::check_user_file(text, &self.path),
        }
    }
}
