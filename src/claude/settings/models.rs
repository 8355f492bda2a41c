//! The overlay's settings about models: the ones that exist, and the model picker's rows.
//!
//! Agents, skills, commands and hooks pin Claude's own models, which no backend has. Claude Code takes the session's
//! model for every name that isn't available, whether it knows the name or not (seen in 2.1.331), so only the backend's
//! models are. `modelOverrides`, which maps such names, isn't used: Claude Code would take our models for Claude's, with
//! their names and with a context window of 200,000 tokens (seen).

use serde_json::{Value, json};

use crate::{backend::Tiers, config::Tier};

/// Returns the settings. `description`: what the model picker says about each model.
pub(crate) fn settings(tiers: &Tiers, description: &str) -> Value {
    // Under the first alias that means it: a pick is saved under that name in the user's settings.
    let first = |model: &str| Tier::MAIN.into_iter().find(|tier| tiers.model(*tier) == Some(model));
    let row = |model: &&str| Some(json!({"model": first(model)?.name(), "label": model, "description": description}));
    let names = names(tiers);
    json!({
        "modelPicker": {"replaceBuiltInOptions": true, "options": names.iter().filter_map(row).collect::<Vec<_>>()},
        "availableModels": names,
    })
}

/// Returns the models that the program may request, without duplicates.
fn names(tiers: &Tiers) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for (_, model) in tiers.iter() {
        if !names.contains(&model) {
            names.push(model);
        }
    }
    names
}
