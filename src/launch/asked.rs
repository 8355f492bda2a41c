//! What the user asked lclaude for, to repeat it in the help of a failure.

use crate::{backend::backend_to_name, cli::Choice, config::Kind, session::plan::Plan};

/// A command that needs a model.
pub(crate) struct Asked<'a> {
    /// How it starts, such as `lclaude local serve`.
    pub words: &'a [&'a str],
    pub choice: &'a Choice,
    /// What comes after its options, such as ` -- node agent.mjs`. A session's arguments for Claude Code aren't repeated.
    pub rest: String,
    /// Whether nothing may be asked, neither of the user nor of a server, because nothing runs.
    pub is_dry_run: bool,
    /// Whether a chosen model may be saved to the user's configuration. Setup does that itself.
    pub saves: bool,
}

impl<'a> Asked<'a> {
    /// Returns the command without arguments after its options.
    pub(crate) fn new(words: &'a [&'a str], choice: &'a Choice) -> Self {
        Asked { words, choice, rest: String::new(), is_dry_run: false, saves: true }
    }

    /// Returns the same command with this model of the same backend.
    pub(crate) fn with_model(&self, model: &str) -> String {
        format!("{}{}", self.choice.line(self.words, Some(model)), self.rest)
    }

    /// Returns the same command with this model.
    pub(crate) fn command(&self, model: &str, kind: Kind, plan: &Plan) -> String {
        self.with_options(model, kind, plan, "")
    }

    /// Returns the same command with this model, which is downloaded without asking.
    pub(crate) fn download_command(&self, model: &str, kind: Kind, plan: &Plan) -> String {
        self.with_options(model, kind, plan, " --yes")
    }

    fn with_options(&self, model: &str, kind: Kind, plan: &Plan, more: &str) -> String {
        let backend = backend_to_name(model, kind, plan.settings(), plan.environment()).unwrap_or(Some(kind));
        let line = Choice { backend, ..self.choice.clone() }.line(self.words, Some(model));
        format!("{line}{more}{}", self.rest)
    }
}
