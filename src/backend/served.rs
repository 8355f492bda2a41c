//! What a ready backend serves, which may differ from what was requested.

use serde::{Deserialize, Serialize};

use super::plan::BackendPlan;

/// What a ready backend serves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Served {
    /// Its URL, if the plan doesn't know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Tokens: the smallest context of all models, since Claude Code uses a single value.
    pub context: u32,
    /// The model with this context.
    pub of: String,
    /// Tokens that this model was trained for, if known.
    pub trained: Option<u32>,
    /// Whether the models' chat templates support tools, which Claude Code needs to read and write files.
    pub tools: bool,
    /// Whether the main model supports thinking.
    pub thinking: bool,
    /// The help for a context that is too small, if a larger `--context` isn't enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_context: Option<String>,
    /// Other models of this server that a session can switch to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// Other messages for the user.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A context that a model sets for itself, which overrides all settings.
pub(crate) struct FixedContext {
    pub tokens: u32,
    /// The help for a larger one.
    pub larger: String,
}

impl Served {
    /// Returns a value without models, to which each model is added.
    pub(crate) fn new() -> Self {
        Served { tools: true, ..Served::default() }
    }

    /// Records one model's context in tokens. Of equal contexts the first recorded model counts.
    pub(crate) fn grant(&mut self, model: &str, context: u32, trained: Option<u32>) {
        if self.of.is_empty() || context < self.context {
            (self.of, self.context, self.trained) = (model.to_owned(), context, trained);
        }
    }

    /// Returns what the main model of a plan is expected to get. `trained`: tokens it was trained for.
    pub(crate) fn of_main(plan: &BackendPlan, trained: Option<u32>) -> Self {
        let mut served = Served::new();
        served.expect(plan, &plan.models[0], trained, None);
        served
    }

    /// Records the context that a model will get, as far as that is known before it is loaded.
    ///
    /// `trained`: tokens it was trained for, `fixed`: the context that it sets for itself.
    pub(crate) fn expect(
        &mut self,
        plan: &BackendPlan,
        model: &str,
        trained: Option<u32>,
        fixed: Option<FixedContext>,
    ) {
        let tokens = fixed.as_ref().map_or(plan.context, |fixed| fixed.tokens);
        self.grant(model, trained.map_or(tokens, |trained| trained.min(tokens)), trained);
        if self.of == *model {
            self.more_context = fixed.filter(|fixed| fixed.tokens < plan.context).map(|fixed| fixed.larger);
        }
    }

    /// Returns a clause with the granted, requested and trained context, in tokens.
    pub(crate) fn contexts(&self, asked: u32) -> String {
        let trained = self.trained.map(|trained| format!(", trained for {trained}")).unwrap_or_default();
        format!("a context of {} tokens granted, {asked} requested{trained}", self.context)
    }
}
