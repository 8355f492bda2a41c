//! The options that choose a backend and a model, shared by sessions and the verbs.

use std::path::PathBuf;

use crate::{
    base::ui,
    config::{KIND_NAMES, Kind, Overrides, parse_context},
};

/// The help heading of the options that choose a backend and a model.
pub(crate) const HEADING: &str = "Backend and model";

/// The options of every command that uses a backend, except `--model`, which Claude Code has too.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Choice {
    #[arg(long, value_name = "KIND", help_heading = HEADING,
        help = format!("Use {}", KIND_NAMES.replacen(", endpoint", " or endpoint", 1)))]
    pub backend: Option<Kind>,
    /// Use the server at this URL, which is already running
    #[arg(long, value_name = "URL", help_heading = HEADING)]
    pub url: Option<String>,
    /// Use [profiles.NAME] of the configuration
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    pub profile: Option<String>,
    /// Ask for a context window of this many tokens
    #[arg(long, value_name = "TOKENS", help_heading = HEADING, value_parser = parse_context)]
    pub context: Option<u32>,
    /// Read this configuration file instead of yours
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Answer yes to every question
    #[arg(long)]
    pub yes: bool,
    /// Print no notes, only errors, warnings and questions
    #[arg(long, short)]
    pub quiet: bool,
}

impl Choice {
    /// Returns the options and `model` as the topmost layer of the settings.
    pub(crate) fn overrides(&self, model: Option<String>) -> Overrides {
        let Choice { backend, url, profile, context, .. } = self.clone();
        Overrides { backend, url, profile, context, model, ..Overrides::default() }
    }

    /// Returns the command line that starts with `words`, with these options and `model`, without `--yes` and
    /// `--quiet`.
    pub(crate) fn line(&self, words: &[&str], model: Option<&str>) -> String {
        let Choice { backend, url, profile, context, config, yes: _, quiet: _ } = self;
        let options = [
            ("--backend", backend.map(|kind| kind.to_string())),
            ("--url", url.clone()),
            ("--model", model.map(str::to_owned)),
            ("--profile", profile.clone()),
            ("--context", context.map(|tokens| tokens.to_string())),
            ("--config", config.as_ref().map(|file| file.display().to_string())),
        ];
        let options = options.into_iter().filter_map(|(option, value)| Some([option.to_owned(), value?])).flatten();
        ui::quote_command(words.iter().map(|&word| word.to_owned()).chain(options))
    }
}

/// The backend and model that a verb uses. Options that are not given come from the configuration, as for a session.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Selection {
    #[command(flatten)]
    pub choice: Choice,
    /// Use this model of the backend
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    pub model: Option<String>,
}

impl Selection {
    /// Returns the options as the topmost layer of the settings.
    pub(crate) fn overrides(&self) -> Overrides {
        self.choice.overrides(self.model.clone())
    }

    /// Returns the command line of `verb` with these options, without `--yes` and `--quiet`.
    pub(crate) fn line(&self, verb: &str) -> String {
        self.choice.line(&["lclaude", "local", verb], self.model.as_deref())
    }

    /// Returns the command line of a session with these options, without `--yes` and `--quiet`.
    pub(crate) fn session_line(&self) -> String {
        self.choice.line(&["lclaude"], self.model.as_deref())
    }
}
