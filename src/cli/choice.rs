//! The options that choose a backend and a model, for a session and for the verbs alike.

use std::path::PathBuf;

use crate::{base::ui, config::Overrides};

/// What every command can be told that has to do with a backend.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Choice {
    /// The backend to use: ollama, lmstudio, llamacpp, command or endpoint
    #[arg(long, value_name = "KIND")]
    pub backend: Option<String>,
    /// Use the profile [profiles.NAME] of the configuration
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Tokens of context asked of the backend
    #[arg(long, value_name = "TOKENS")]
    pub context: Option<u32>,
    /// Read this configuration instead of ~/.config/lclaude/config.toml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Answer yes to what lclaude would ask, such as whether to download a model
    #[arg(long)]
    pub yes: bool,
}

impl Choice {
    /// As the topmost layer of the settings, with a model beside it.
    pub fn overrides(&self, model: Option<String>) -> Overrides {
        let Choice { backend, profile, context, .. } = self.clone();
        Overrides { backend, profile, context, model, lean: false, throwaway: None }
    }
}

/// Which backend and model a verb is about; what is not said comes from the configuration, as for a session.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Selection {
    #[command(flatten)]
    pub choice: Choice,
    /// A model of the backend's
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
}

impl Selection {
    /// As the topmost layer of the settings.
    pub fn overrides(&self) -> Overrides {
        self.choice.overrides(self.model.clone())
    }

    /// `verb` with this selection, as one could type it.
    pub fn line(&self, verb: &str) -> String {
        let Choice { backend, profile, context, config, yes: _ } = &self.choice;
        let context = context.map(|tokens| tokens.to_string());
        let config = config.as_ref().map(|file| file.display().to_string());
        let options = [
            ("--backend", backend),
            ("--model", &self.model),
            ("--profile", profile),
            ("--context", &context),
            ("--config", &config),
        ];
        let mut words = vec!["lclaude".to_owned(), "local".into(), verb.into()];
        for (option, value) in options {
            words.extend(value.iter().flat_map(|value| [option.to_owned(), value.clone()]));
        }
        ui::command_line(words.into_iter())
    }
}
