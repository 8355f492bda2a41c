//! The known configuration keys, and suggestions for unknown ones.

use toml::{Table, Value};

use crate::base::ui;

/// Every key, with its tables separated by dots. `*` stands for the name of an environment variable.
const KEYS: &[&str] = &[
    "backend",
    "model",
    "context",
    "profile",
    "context_check",
    "memory_check",
    "lean",
    "throwaway",
    "models.opus",
    "models.sonnet",
    "models.haiku",
    "models.fable",
    "models.subagent",
    "claude.path",
    "claude.args",
    "claude.env.*",
    "claude.max_output_tokens",
    "claude.thinking",
    "claude.status_line",
    "claude.tools",
    "lifetime.linger",
    "lifetime.startup_timeout",
    "lifetime.restarts",
    "warm.enabled",
    "warm.max_size",
    "ollama.path",
    "ollama.instance",
    "ollama.host",
    "ollama.models_dir",
    "ollama.kv_cache_type",
    "ollama.env.*",
    "lmstudio.path",
    "lmstudio.gpu",
    "lmstudio.parallel",
    "llamacpp.path",
    "llamacpp.gguf",
    "llamacpp.hf",
    "llamacpp.mmproj",
    "llamacpp.draft_model",
    "llamacpp.chat_template_file",
    "llamacpp.threads",
    "llamacpp.batch_size",
    "llamacpp.ubatch_size",
    "llamacpp.gpu_layers",
    "llamacpp.n_cpu_moe",
    "llamacpp.split_mode",
    "llamacpp.tensor_split",
    "llamacpp.main_gpu",
    "llamacpp.flash_attention",
    "llamacpp.cache_type_k",
    "llamacpp.cache_type_v",
    "llamacpp.sampling.temperature",
    "llamacpp.sampling.top_k",
    "llamacpp.sampling.top_p",
    "llamacpp.sampling.min_p",
    "llamacpp.sampling.repeat_penalty",
    "llamacpp.sampling.presence_penalty",
    "llamacpp.sampling.frequency_penalty",
    "llamacpp.sampling.seed",
    "llamacpp.args",
    "llamacpp.args_append",
    "llamacpp.env.*",
    "command.run",
    "command.health",
    "command.stop",
    "command.stop_timeout",
    "command.env.*",
    "endpoint.url",
    "endpoint.token_env",
    "endpoint.auth",
    "endpoint.headers.*",
    "endpoint.headers_env.*",
];

/// Longest name that is compared or printed in full, in characters. Longer ones would be slow, and can't be a typo.
const MAX_LENGTH: usize = 256;

#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    KEYS.iter().copied()
}

/// Returns the first unknown key in `table` and the nearest known one.
pub(crate) fn find_unknown(table: &Table) -> Option<(String, Option<String>)> {
    let mut table = table.clone();
    // A profile has the same keys as the file. Its name may contain dots.
    let profiles = match table.remove("profiles") {
        Some(Value::Table(profiles)) => profiles,
        _ => Table::new(),
    };
    let in_profile = |(name, profile): (&String, &Value)| {
        let (key, nearest) = find_unknown_in_table(profile.as_table()?)?;
        let full = |key: String| format!("profiles.{}.{key}", quote_key(name));
        Some((full(key), nearest.map(full)))
    };
    find_unknown_in_table(&table).or_else(|| profiles.iter().find_map(in_profile))
}

fn find_unknown_in_table(table: &Table) -> Option<(String, Option<String>)> {
    let unknown = |key: &String| !KEYS.iter().any(|known| matches(known, key));
    let key = leaves(table).into_iter().find(unknown)?;
    let nearest = find_nearest(&key, KEYS.iter().copied()).map(str::to_owned);
    Some((shorten(key), nearest))
}

/// Returns the key as written in TOML, quoted if necessary.
pub(crate) fn quote_key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { format!("{key:?}") }
}

/// Truncates a long text, ending it with `…`.
pub(crate) fn shorten(text: String) -> String {
    ui::shorten(&text, MAX_LENGTH)
}

/// Returns the dotted paths of all values. A table is only a value if it is empty.
pub(crate) fn leaves(table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) if !inner.is_empty() => {
                found.extend(leaves(inner).into_iter().map(|leaf| format!("{key}.{leaf}")));
            }
            _ => found.push(key.clone()),
        }
    }
    found
}

/// Returns the name in `known` closest to `written`, or `None` if none is similar. Also compares the last parts alone,
/// to suggest a key that was written in the wrong table.
pub(crate) fn find_nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if written.len() > MAX_LENGTH {
        return None;
    }
    let last = |path: &'a str| path.rsplit('.').next().unwrap_or(path);
    let written_last = written.rsplit('.').next().unwrap_or(written);
    known
        .map(|name| {
            let whole = strsim::jaro_winkler(written, name);
            let part = strsim::jaro_winkler(written_last, last(name));
            (whole.max(part), name)
        })
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

fn matches(known: &str, key: &str) -> bool {
    match known.strip_suffix('*') {
        Some(table) => {
            key.strip_prefix(table).is_some_and(|name| !name.is_empty()) || key == table.trim_end_matches('.')
        }
        // An empty table, such as `[claude]` with all its lines commented out.
        None => known == key || known.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_unknown_in(text: &str) -> Option<(String, Option<String>)> {
        find_unknown(&text.parse().expect("the test's own TOML"))
    }

    #[test]
    fn known_keys_are_accepted_in_files_and_profiles() {
        assert_eq!(
            find_unknown_in("backend = 'x'\n[llamacpp.env]\nA = '1'\n[claude]\n[profiles.p]\nmodel = 'y'"),
            None
        );
        assert_eq!(find_unknown_in("[profiles.\"glm-4.7\"]\nmodel = 'y'\nclaude.env.A = 'z'\n[profiles.empty]"), None);
    }

    #[test]
    fn unknown_key_suggests_the_nearest_known_key() {
        let near = |text| find_unknown_in(text).expect("an unknown key").1;
        assert_eq!(near("modle = 'x'").as_deref(), Some("model"));
        assert_eq!(near("[llamacpp]\ngpu_layer = 1").as_deref(), Some("llamacpp.gpu_layers"));
        assert_eq!(near("threads = 4").as_deref(), Some("llamacpp.threads"));
        assert_eq!(near("[profiles.p]\nbakend = 'x'").as_deref(), Some("profiles.p.backend"));
        assert_eq!(near("[profiles.\"glm-4.7\"]\nbakend = 'x'").as_deref(), Some("profiles.\"glm-4.7\".backend"));
        assert_eq!(near("zzzz = 1"), None);
    }

    #[test]
    fn very_long_key_is_truncated_without_suggestion() {
        let (shown, nearest) = find_unknown_in(&format!("{} = 1", "model".repeat(100_000))).expect("an unknown key");
        assert_eq!((shown.chars().count(), nearest), (MAX_LENGTH + 1, None));
    }
}
