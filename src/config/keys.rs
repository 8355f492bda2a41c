//! The names a configuration file may use, and the nearest one to a name it may not.

use toml::{Table, Value};

/// Every key, with dots for the tables it is in. A `*` stands for any name (of an environment variable).
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
    "lifetime.linger",
    "lifetime.startup_timeout",
    "lifetime.restarts",
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
    "llamacpp.threads",
    "llamacpp.batch_size",
    "llamacpp.ubatch_size",
    "llamacpp.gpu_layers",
    "llamacpp.cache_type_k",
    "llamacpp.cache_type_v",
    "llamacpp.args",
    "llamacpp.env.*",
    "command.run",
    "command.health",
    "command.env.*",
    "endpoint.url",
    "endpoint.token_env",
];

/// No name that was meant is longer, in characters. To compare and to print them takes its time.
const LONGEST: usize = 256;

#[cfg(test)]
pub fn all() -> impl Iterator<Item = &'static str> {
    KEYS.iter().copied()
}

/// The first key in `table` that no configuration may have, and the nearest that it may.
pub fn unknown(table: &Table) -> Option<(String, Option<String>)> {
    let mut table = table.clone();
    // Each holds the same keys as the file itself. Its name may have dots.
    let profiles = match table.remove("profiles") {
        Some(Value::Table(profiles)) => profiles,
        _ => Table::new(),
    };
    let in_profile = |(name, profile): (&String, &Value)| {
        let (key, nearest) = unknown_here(profile.as_table()?)?;
        let whole = |key: String| format!("profiles.{}.{key}", as_key(name));
        Some((whole(key), nearest.map(whole)))
    };
    unknown_here(&table).or_else(|| profiles.iter().find_map(in_profile))
}

fn unknown_here(table: &Table) -> Option<(String, Option<String>)> {
    let unknown = |key: &String| !KEYS.iter().any(|known| matches(known, key));
    let key = leaves(table).into_iter().find(unknown)?;
    let nearest = nearest(&key, KEYS.iter().copied()).map(str::to_owned);
    Some((shortened(key), nearest))
}

/// As TOML has it.
pub fn as_key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { format!("{key:?}") }
}

/// With its end left out where nobody would read so far.
pub fn shortened(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The dotted paths of all values that are not tables; an empty table counts as a value.
pub fn leaves(table: &Table) -> Vec<String> {
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

/// The closest of `known` to what was written, if it is close enough to have been meant. Also compares the last part
/// alone, for a key written into the wrong table.
pub fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if written.len() > LONGEST {
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

    fn unknown_in(text: &str) -> Option<(String, Option<String>)> {
        unknown(&text.parse().expect("the test's own TOML"))
    }

    #[test]
    fn known_keys_pass_everywhere() {
        assert_eq!(unknown_in("backend = 'x'\n[llamacpp.env]\nA = '1'\n[claude]\n[profiles.p]\nmodel = 'y'"), None);
        assert_eq!(unknown_in("[profiles.\"glm-4.7\"]\nmodel = 'y'\nclaude.env.A = 'z'\n[profiles.empty]"), None);
    }

    #[test]
    fn the_nearest_known_key_is_named() {
        let near = |text| unknown_in(text).expect("an unknown key").1;
        assert_eq!(near("modle = 'x'").as_deref(), Some("model"));
        assert_eq!(near("[llamacpp]\ngpu_layer = 1").as_deref(), Some("llamacpp.gpu_layers"));
        assert_eq!(near("threads = 4").as_deref(), Some("llamacpp.threads"));
        assert_eq!(near("[profiles.p]\nbakend = 'x'").as_deref(), Some("profiles.p.backend"));
        assert_eq!(near("[profiles.\"glm-4.7\"]\nbakend = 'x'").as_deref(), Some("profiles.\"glm-4.7\".backend"));
        assert_eq!(near("zzzz = 1"), None);
    }

    #[test]
    fn a_name_that_nobody_could_have_meant_is_shown_by_its_beginning() {
        let (shown, nearest) = unknown_in(&format!("{} = 1", "model".repeat(100_000))).expect("an unknown key");
        assert_eq!((shown.chars().count(), nearest), (LONGEST + 1, None));
    }
}
