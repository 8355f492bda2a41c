//! Models that the user chooses while lclaude runs. The configuration files are not changed.

use super::{kind::Kind, settings::Settings, source::Source, tier::Tier};

impl Settings {
    /// Returns the settings with this backend and model. The model replaces those of tiers that an earlier source than
    /// `source` sets.
    #[must_use]
    pub(crate) fn with_model(mut self, kind: Kind, model: &str, source: Source) -> Self {
        if self.backend != Some(kind) {
            self.backend = Some(kind);
            self.sources.insert("backend".into(), Source::Option("--backend"));
        }
        self.model = Some(model.to_owned());
        self.sources.insert("model".into(), source);
        self.drop_overridden_tiers();
        self
    }

    /// Returns the settings with a model that the user picked, as if it and its backend were given as options.
    #[must_use]
    pub(crate) fn with_picked_model(self, kind: Kind, model: &str) -> Self {
        self.with_model(kind, model, Source::Option("--model"))
    }

    /// Returns the settings with another name for each model for which `is_this` is true. The main model's counts as given
    /// by an option.
    #[must_use]
    pub(crate) fn with_renamed_model(mut self, is_this: impl Fn(&str) -> bool, name: &str) -> Self {
        if self.model.as_deref().is_some_and(&is_this) {
            self.sources.insert("model".into(), Source::Option("--model"));
        }
        let tiers = self.models.iter_mut().map(|(_, model): (&Tier, &mut String)| model);
        tiers.chain(&mut self.model).filter(|model| is_this(model)).for_each(|model| name.clone_into(model));
        self
    }
}
