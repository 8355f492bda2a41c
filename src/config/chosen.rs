//! Models that the user chooses while lclaude runs. The configuration files are not changed.

use super::{kind::Kind, settings::Settings, source::Source, tier::Tier};

impl Settings {
    /// Returns the settings with this backend and model, as if they were given as options.
    #[must_use]
    pub(crate) fn with_model(mut self, kind: Kind, model: &str) -> Self {
        if self.backend != Some(kind) {
            self.backend = Some(kind);
            self.sources.insert("backend".into(), Source::Option("--backend"));
        }
        self.model = Some(model.to_owned());
        self.sources.insert("model".into(), Source::Option("--model"));
        self
    }

    /// Returns the settings with another name for each model for which `is_this` is true. The sources don't change.
    #[must_use]
    pub(crate) fn with_renamed_model(mut self, is_this: impl Fn(&str) -> bool, name: &str) -> Self {
        let tiers = self.models.iter_mut().map(|(_, model): (&Tier, &mut String)| model);
        tiers.chain(&mut self.model).filter(|model| is_this(model)).for_each(|model| name.clone_into(model));
        self
    }
}
