//! Selects the backend that a verb acts on, by the ID that `lclaude local status` shows or by the options of a session.

use crate::{
    backend,
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
    },
    cli::{Choice, Selection, TargetArguments},
};

/// How the user selected a backend.
pub(crate) enum Target {
    /// The start of an ID.
    Id(String),
    /// The ID of the backend that a session with the same options would use.
    Plan(String),
    /// No ID and no options.
    Unspecified,
}

impl TargetArguments {
    /// Returns the selected backend.
    ///
    /// # Errors
    /// `Usage` for an invalid ID, or an error of the settings or the plan.
    pub(crate) fn resolve(&self, environment: &Environment) -> Result<Target> {
        if let Some(id) = &self.id {
            let is_id = !id.is_empty() && id.len() <= 16 && id.chars().all(|c| c.is_ascii_hexdigit());
            return match is_id {
                true => Ok(Target::Id(id.to_lowercase())),
                false => Err(Failure::new(Code::Usage, format!("invalid backend ID {id:?}"))
                    .cause("an ID has up to 16 hex digits")
                    .help("lclaude local status  # shows the IDs")),
            };
        }
        let Selection { choice: Choice { backend, url, profile, context, config, yes: _, quiet: _ }, model } =
            &self.choice;
        if [url, profile, model].into_iter().all(Option::is_none)
            && backend.is_none()
            && context.is_none()
            && config.is_none()
        {
            return Ok(Target::Unspecified);
        }
        let settings = self.choice.settings(environment)?;
        let chosen = backend::plan(&settings, environment)?;
        Ok(Target::Plan(chosen.plan.id()))
    }
}
