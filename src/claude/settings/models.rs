//! The overlay's settings about models: the ones that exist, and the model picker's rows.
//!
//! Agents, skills, commands and hooks pin Claude's own models, which no backend has. Claude Code takes the session's
//! model for every name that isn't available, whether it knows the name or not (seen in 2.1.331), so only the backend's
//! models are. `modelOverrides`, which maps such names, isn't used: Claude Code would take our models for Claude's, with
//! their names and with a context window of 200,000 tokens (seen).

use serde_json::{Map, Value, json};

use crate::{backend::Tiers, config::Tier};

/// Returns the settings. `others`: models to switch to, besides those of the tiers. `description`: what the model picker
/// says about each model. `announcement`: the line below the header.
pub(crate) fn settings(tiers: &Tiers, others: &[String], description: &str, announcement: &str) -> Value {
    // Under the first alias that means it: a pick is saved under that name in the user's settings.
    let first = |model: &str| Tier::MAIN.into_iter().find(|tier| tiers.model(*tier) == Some(model));
    let row = |model: &&str| Some(json!({"model": first(model)?.name(), "label": model, "description": description}));
    let other = |model: &String| json!({"model": model, "label": model, "description": "loaded when it is picked"});
    let rows = names(tiers, &[]).iter().filter_map(row).chain(others.iter().map(other)).collect::<Vec<_>>();
    json!({
        "modelPicker": {"replaceBuiltInOptions": true, "options": rows},
        "availableModels": names(tiers, others),
        // Claude Code shows one of those that all settings files have, chosen at random.
        "companyAnnouncements": [announcement],
    })
}

/// Returns the value of `--managed-settings` that makes our models free: Claude Code takes an unknown model for one of
/// Claude's, and prints and saves dollars that nobody pays (seen in 2.1.331). It reads prices from this option only.
pub(crate) fn prices(tiers: &Tiers, others: &[String]) -> Value {
    let free = json!({"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0});
    let prices: Map<String, Value> =
        names(tiers, others).into_iter().map(|name| (name.to_owned(), free.clone())).collect();
    json!({"modelPricing": {"overrides": prices}})
}

/// Returns the models that the program may request, without duplicates.
pub(crate) fn names<'a>(tiers: &'a Tiers, others: &'a [String]) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for model in tiers.iter().map(|(_, model)| model).chain(others.iter().map(String::as_str)) {
        if !names.contains(&model) {
            names.push(model);
        }
    }
    names
}
