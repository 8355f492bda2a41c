//! Which of the backends a verb is about: by the id that `lclaude local status` shows, or by the options that a session
//! would have.

use crate::cli::Selection;
use crate::cli::Which;
use crate::{
    backend,
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
    },
    cli::Choice,
};

/// What was said of it.
pub enum Said {
    /// The beginning of an id.
    Id(String),
    /// The id of the backend that a session with the same options would have.
    Plan(String),
    Nothing,
}

impl Which {
    pub fn read(&self, environment: &Environment) -> Result<Said> {
        if let Some(id) = &self.id {
            let is_id = !id.is_empty() && id.len() <= 16 && id.chars().all(|c| c.is_ascii_hexdigit());
            return match is_id {
                true => Ok(Said::Id(id.to_lowercase())),
                false => Err(Failure::new(Code::Usage, format!("{id:?} is no backend's id"))
                    .why("an id has up to 16 hex digits")
                    .help("lclaude local status shows them; --model and --backend choose by name")),
            };
        }
        let Selection { choice: Choice { backend, profile, context, config, yes: _ }, model } = &self.choice;
        if [backend, profile, model].into_iter().all(Option::is_none) && context.is_none() && config.is_none() {
            return Ok(Said::Nothing);
        }
        let settings = self.choice.settings(environment)?;
        let chosen = backend::plan(&settings, environment)?;
        Ok(Said::Plan(chosen.plan.id()))
    }
}
