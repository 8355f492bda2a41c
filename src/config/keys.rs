//! The known configuration keys, and the nearest of them to an unknown one.

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

/// Returns every key.
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    KEYS.iter().copied()
}

/// Returns whether a dotted key is known.
pub(super) fn is_known(key: &str) -> bool {
    KEYS.iter().any(|known| matches(known, key))
}

/// Whether a known key has a value or is a table of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Value,
    Table,
}

/// Returns whether a known key, not of a profile, has a value or is a table.
pub(crate) fn kind(key: &str) -> KeyKind {
    let is_value = |known: &&&str| match known.strip_suffix('*') {
        Some(table) => key.starts_with(table),
        None => *known == &key,
    };
    if KEYS.iter().any(|known| is_value(&known)) { KeyKind::Value } else { KeyKind::Table }
}

/// Returns the key as written in TOML, quoted if necessary.
pub(crate) fn quote_key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { format!("{key:?}") }
}

/// Splits a key whose last part is the name of a variable or a header.
pub(super) fn split_name(key: &str) -> Option<(&str, &str)> {
    KEYS.iter().filter_map(|known| known.strip_suffix('*')).find_map(|table| {
        let name = key.strip_prefix(table)?;
        Some((table.trim_end_matches('.'), name))
    })
}

/// Returns whether the value of a key may be a secret, which is not shown. The key may be quoted as in TOML, or be a path
/// of [`leaves`].
pub(crate) fn is_secret(key: &str) -> bool {
    let quoted = toml_edit::Key::parse(key).unwrap_or_default();
    let parts: Vec<&str> = quoted.iter().map(toml_edit::Key::get).collect();
    // People put keys in headers too.
    let is_table = |parts: &[&str]| parts.windows(2).any(|pair| pair[1] == "env" || pair == ["endpoint", "headers"]);
    is_table(&parts) || is_table(&key.split('.').collect::<Vec<_>>())
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

    #[test]
    fn secrets_are_known_however_their_key_is_written() {
        for key in [
            "claude.env.A",
            "claude.env",
            "claude.env.A B",
            "profiles.p.command.env.A",
            "endpoint.\"headers\".X",
            "endpoint.headers.X",
            "ollama . 'env' . A",
        ] {
            assert!(is_secret(key), "{key}");
        }
        for key in ["model", "endpoint.headers_env.X", "endpoint.url", "environment", "env"] {
            assert!(!is_secret(key), "{key}");
        }
    }
}
