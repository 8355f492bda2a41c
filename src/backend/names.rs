//! Model names: the configured ones, and the nearest match for an unknown one.

use crate::{
    base::{
        error::{Code, Failure, Result},
        ui,
    },
    config::{Settings, Tier},
};

/// Returns the names of the configured models without duplicates, the main one first.
///
/// # Errors
/// `Config` if none is configured and there is no default, `Config` or `Usage` if a name is invalid.
pub(crate) fn wanted(settings: &Settings, default: Option<&str>) -> Result<Vec<String>> {
    let of = |tier| settings.models.get(&tier).map(String::as_str);
    let main = settings.model.as_deref().or(of(Tier::Sonnet)).or(of(Tier::Opus)).or(default);
    let Some(main) = main else {
        return Err(Failure::new(Code::Config, "no model is configured")
            .cause("requests to this server must name a model")
            .help("lclaude --model NAME")
            .help("lclaude local use NAME"));
    };
    settings.model_names().try_for_each(|(key, name)| check_name(settings, key, name))?;
    let mut names = vec![main.to_owned()];
    for (_, name) in settings.tier_models() {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    // If every tier has its own model, nothing uses the general one.
    let all_named = Tier::MAIN.into_iter().all(|tier| of(tier).is_some());
    if all_named && settings.model.is_some() && !settings.tier_models().any(|(_, name)| name == main) {
        names.remove(0);
    }
    Ok(names)
}

/// Refuses a name that no server has and that could control the terminal in which Claude Code shows it.
fn check_name(settings: &Settings, key: &str, name: &str) -> Result<()> {
    if !name.chars().any(ui::is_unsafe) {
        return Ok(());
    }
    let source = settings.source(key);
    Err(Failure::new(source.code(), format!("invalid model name {name:?}"))
        .cause(format!("{source} sets it, and it contains a control character or an invisible one"))
        .help("lclaude local models  # shows the names of the models"))
}

/// Returns whether the user's own configuration file names this model, rather than an option or a variable.
pub(crate) fn is_in_own_file(settings: &Settings, is_this: impl Fn(&str) -> bool) -> bool {
    settings.model_names().any(|(key, name)| is_this(name) && settings.is_from_own_file(key))
}

/// Longest name that is compared or suggested, in bytes.
pub(crate) const MAX_NAME: usize = 256;
/// Names of a list that a message shows, and the characters of each.
const SHOWN: (usize, usize) = (5, 80);

/// Returns the first names of a list, and how many there are besides.
pub(crate) fn list_some(names: &[&str]) -> String {
    let (count, length) = SHOWN;
    let shown: Vec<String> = names.iter().take(count).map(|name| ui::shorten(name, length)).collect();
    let more = names.len().saturating_sub(count);
    let shown = shown.join(", ");
    if more == 0 { shown } else { format!("{shown} and {} more", group_digits(more)) }
}

/// Returns a number with commas between its groups of three digits.
pub(crate) fn group_digits(number: usize) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(|group| String::from_utf8_lossy(group).into_owned()).collect::<Vec<_>>().join(",")
}

/// Returns whether two names differ only in owner, tag and case, which people leave out or get wrong most often.
pub(crate) fn is_same_family(one: &str, other: &str) -> bool {
    let family = |name: &str| {
        let name = name.to_lowercase();
        name.rsplit('/').next().unwrap_or_default().split(':').next().map(str::to_owned)
    };
    family(one) == family(other)
}

/// Returns the name most similar to `model`, if it is similar enough to be meant.
pub(crate) fn nearest_model<'a>(model: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.trim_end_matches(":latest").to_lowercase();
    let similarity = |name: &str| {
        let whole = strsim::jaro_winkler(&plain(model), &plain(name));
        if is_same_family(model, name) { whole.max(0.99) } else { whole }
    };
    // Comparing long names is slow, and nobody means one.
    let names = names.filter(|name| name.len() <= MAX_NAME);
    let scored = names.map(|name| (similarity(name), name)).filter(|(score, _)| *score > 0.8);
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_of_names_are_shortened() {
        assert_eq!(list_some(&["a", "b"]), "a, b");
        assert_eq!(list_some(&vec!["m"; 100_000]), "m, m, m, m, m and 99,995 more");
        assert!(list_some(&["x".repeat(1000).as_str()]).chars().count() < 100);
    }

    #[test]
    fn nearest_model_ignores_owner_tag_and_typos() {
        let near = |model| nearest_model(model, ["qwen3:4b", "glm-4.7-flash:latest", "me/coder:30b"].into_iter());
        assert_eq!(near("qwen3:latest"), Some("qwen3:4b"));
        assert_eq!(near("glm-4.7-flsh:latest"), Some("glm-4.7-flash:latest"));
        assert_eq!(near("coder:30b"), Some("me/coder:30b"));
        assert_eq!(near("nothing-like-it"), None);
        assert!(is_same_family("me/Coder:30b", "coder") && !is_same_family("qwen3", "qwen3-coder"));
    }
}
