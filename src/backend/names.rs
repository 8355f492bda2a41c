//! Names of models: those that the user wants, and the nearest one to a name that is not there.

use crate::{
    base::error::{Code, Failure, Result},
    config::{Settings, Tier},
};

/// The names the user wants, the main one first, each once.
pub fn wanted(settings: &Settings, default: Option<&str>) -> Result<Vec<String>> {
    let of = |tier| settings.models.get(&tier).map(String::as_str);
    let main = settings.model.as_deref().or(of(Tier::Sonnet)).or(of(Tier::Opus)).or(default);
    let Some(main) = main else {
        return Err(Failure::new(Code::Config, "no model is chosen")
            .why("the server has to be asked for one by its name")
            .help("--model NAME, or model = \"NAME\" in the configuration"));
    };
    let mut names = vec![main.to_owned()];
    for (_, name) in settings.tier_models() {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    // Unless a tier is left to it, the general model is asked for by nobody.
    let all_named = Tier::MAIN.into_iter().all(|tier| of(tier).is_some());
    if all_named && settings.model.is_some() && !settings.tier_models().any(|(_, name)| name == main) {
        names.remove(0);
    }
    Ok(names)
}

/// Whether the user wrote a name that is this one into their own file, and did not type or export it.
pub fn is_in_own_file(settings: &Settings, is_this: impl Fn(&str) -> bool) -> bool {
    settings.model_names().any(|(key, name)| is_this(name) && settings.is_from_own_file(key))
}

/// The name most like `model`, if it is like enough to have been meant.
pub fn nearest_model<'a>(model: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.trim_end_matches(":latest").to_lowercase();
    // What most people leave out or get wrong is who made it, and the tag.
    let family = |name: &str| plain(name).rsplit('/').next().unwrap_or_default().split(':').next().map(str::to_owned);
    let likeness = |name: &str| {
        let whole = strsim::jaro_winkler(&plain(model), &plain(name));
        if family(model) == family(name) { whole.max(0.99) } else { whole }
    };
    let scored = names.map(|name| (likeness(name), name)).filter(|(score, _)| *score > 0.8);
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_is_nearly_the_one_is_named() {
        let near = |model| nearest_model(model, ["qwen3:4b", "glm-4.7-flash:latest", "me/coder:30b"].into_iter());
        assert_eq!(near("qwen3:latest"), Some("qwen3:4b"));
        assert_eq!(near("glm-4.7-flsh:latest"), Some("glm-4.7-flash:latest"));
        assert_eq!(near("coder:30b"), Some("me/coder:30b"));
        assert_eq!(near("nothing-like-it"), None);
    }
}
