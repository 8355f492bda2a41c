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

#[cfg(test)]
pub fn all() -> impl Iterator<Item = &'static str> {
    KEYS.iter().copied()
}

/// The first key in `table` that no configuration may have, and the nearest that it may.
pub fn unknown(table: &Table) -> Option<(String, Option<String>)> {
    leaves(table).into_iter().find_map(|path| {
        // A profile holds the same keys as the file itself.
        let (prefix, key) = match path.splitn(3, '.').collect::<Vec<_>>()[..] {
            ["profiles", name, rest] => (format!("profiles.{name}."), rest),
            ["profiles", _] => return None,
            _ => (String::new(), path.as_str()),
        };
        if KEYS.iter().any(|known| matches(known, key)) {
            return None;
        }
        let nearest = nearest(key, KEYS.iter().copied()).map(|near| format!("{prefix}{near}"));
        Some((path, nearest))
    })
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
    }

    #[test]
    fn the_nearest_known_key_is_named() {
        let near = |text| unknown_in(text).expect("an unknown key").1;
        assert_eq!(near("modle = 'x'").as_deref(), Some("model"));
        assert_eq!(near("[llamacpp]\ngpu_layer = 1").as_deref(), Some("llamacpp.gpu_layers"));
        assert_eq!(near("threads = 4").as_deref(), Some("llamacpp.threads"));
        assert_eq!(near("[profiles.p]\nbakend = 'x'").as_deref(), Some("profiles.p.backend"));
        assert_eq!(near("zzzz = 1"), None);
    }
}
