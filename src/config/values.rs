//! Single settings by their keys, for `lclaude local config`.

use std::path::Path;

use toml::{Table, Value};
use toml_edit::Key;

use super::{
    file,
    keys::{self, KeyKind, find_nearest},
    layers,
    project::{self, FILE_NAME},
    ranges::parse_context,
    settings::{Settings, Sources},
    source::Source,
    tools,
};
use crate::base::{
    error::{Code, Failure, Result},
    ui::MASKED,
};

/// A setting that is in effect.
pub(crate) struct Setting {
    /// Its tables are separated by dots.
    pub key: String,
    /// As written, so a path may be relative.
    pub value: Value,
    pub source: Source,
}

impl Setting {
    /// Returns whether the value may be a secret.
    pub(crate) fn is_secret(&self) -> bool {
        keys::is_secret(&self.key)
    }

    /// Returns the value as TOML on one line, or a mask if it may be a secret.
    pub(crate) fn shown(&self) -> String {
        if self.is_secret() { MASKED.into() } else { self.value.to_string() }
    }

    /// Returns `key = value`, as in a configuration file.
    pub(crate) fn line(&self) -> String {
        // The name of a variable or header may contain anything.
        let key = match keys::split_name(&self.key) {
            Some((table, name)) => format!("{table}.{}", keys::quote_key(name)),
            None => self.key.clone(),
        };
        format!("{key} = {}", self.shown())
    }

    /// Returns the value for JSON, or a mask if it may be a secret.
    pub(crate) fn json(&self) -> serde_json::Value {
        if self.is_secret() { MASKED.into() } else { serde_json::to_value(&self.value).unwrap_or_default() }
    }
}

/// Returns everything that is set, in the order of the keys. Profiles count only if they are selected.
pub(crate) fn effective(settings: &Settings) -> Vec<Setting> {
    let set = settings.sources.iter().filter(|(key, _)| !key.starts_with("profiles."));
    let of = |(key, source): (&String, &Source)| {
        // A context may be written as `64k`.
        let is_typed = matches!(source, Source::Option(_)) || key == "context";
        let written = find(&settings.merged, key).filter(|_| !is_typed).cloned();
        Some(Setting { key: key.clone(), value: written.or_else(|| typed(settings, key))?, source: source.clone() })
    };
    set.filter_map(of).collect()
}

/// Returns the value at a dotted key, whose parts may contain dots themselves.
fn find<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    table.iter().find_map(|(name, value)| {
        let rest = key.strip_prefix(name.as_str())?;
        if rest.is_empty() {
            return Some(value);
        }
        find(value.as_table()?, rest.strip_prefix('.')?)
    })
}

/// Returns the value of a key that an option, or the answer of a server, can set.
fn typed(settings: &Settings, key: &str) -> Option<Value> {
    let text = |value: Option<&str>| value.map(Value::from);
    match key {
        "backend" => Value::try_from(settings.backend?).ok(),
        "profile" => text(settings.profile.as_deref()),
        "model" => text(settings.model.as_deref()),
        "context" => settings.context.map(|tokens| Value::from(i64::from(tokens))),
        "lean" => settings.lean.map(Value::from),
        "throwaway" => settings.throwaway.map(Value::from),
        "claude.tools" => Value::try_from(settings.claude.tools?).ok(),
        "claude.path" => text(settings.claude.path.as_deref()?.to_str()),
        "endpoint.url" => text(settings.endpoint.url.as_deref()),
        _ => None,
    }
}

/// Returns the dotted keys of all values, as [`keys::leaves`] does, with the values.
fn leaves(table: &Table, prefix: &str) -> Vec<(String, Value)> {
    let leaf = |(key, value): (&String, &Value)| match value {
        Value::Table(inner) if !inner.is_empty() => leaves(inner, &format!("{prefix}{key}.")),
        value => vec![(format!("{prefix}{key}"), value.clone())],
    };
    table.iter().flat_map(leaf).collect()
}

/// Returns the keys that a table sets besides `known`.
pub(crate) fn other_keys(table: &Table, known: &[&str]) -> Vec<String> {
    leaves(table, "").into_iter().map(|(key, _)| key).filter(|key| !known.contains(&key.as_str())).collect()
}

/// Returns the value that a file sets for a key, or `None`. Reads no other source.
///
/// # Errors
/// `Config` if the text is malformed.
pub(crate) fn in_file(key: &str, text: &str, path: &Path) -> Result<Option<Value>> {
    let table = file::parse(text, path)?;
    let parts = parts(key)?;
    let found = parts.iter().try_fold(Value::Table(table), |value, part| match value {
        Value::Table(mut table) => table.remove(part),
        _ => None,
    });
    Ok(found)
}

/// Returns the parts of a dotted key, which may be quoted.
///
/// # Errors
/// `Usage` if it is not a key.
fn parts(key: &str) -> Result<Vec<String>> {
    let parts = Key::parse(key).map_err(|_| {
        Failure::new(Code::Usage, format!("invalid key {key:?}"))
            .cause("a key has words separated by dots, as in a configuration file")
            .help("lclaude local config  # lists the keys that are set")
    })?;
    Ok(parts.iter().map(|part| part.get().to_owned()).collect())
}

/// Checks that a key is known.
///
/// # Errors
/// `Usage`, with the nearest known key.
pub(crate) fn check_key(key: &str) -> Result<KeyKind> {
    let mut parts = parts(key)?;
    let of_profile = parts.first().is_some_and(|first| first == "profiles");
    if of_profile && parts.len() <= 2 {
        return Ok(KeyKind::Table);
    }
    let named = parts.join(".");
    if of_profile {
        parts.drain(..2);
    }
    let in_file = parts.join(".");
    if !keys::is_known(&in_file) {
        let nearest = find_nearest(&in_file, keys::all()).map(|near| named.replace(&in_file, near));
        let failure = Failure::new(Code::Usage, format!("unknown key `{key}`"));
        return Err(match nearest {
            Some(near) => failure.cause("no key has this name").help(format!("did you mean `{near}`?")),
            None => failure.cause("no key has this name").help("lclaude local config  # lists the keys that are set"),
        });
    }
    Ok(keys::kind(&in_file))
}

/// Returns the value that a text means for a key: TOML if the key takes that, or else the text itself.
///
/// # Errors
/// `Usage` if the key doesn't take it.
pub(crate) fn parse_value(key: &str, text: &str) -> Result<toml_edit::Value> {
    let mut parts = parts(key)?;
    if parts.first().is_some_and(|first| first == "profiles") {
        parts.drain(..parts.len().min(2));
    }
    let tokens = (parts == ["context"]).then(|| parse_context(text).ok()).flatten();
    if let Some(tokens) = tokens {
        return checked(&parts, i64::from(tokens).into()).map_err(|why| invalid(key, text, why));
    }
    // A table would hide which of its keys is wrong.
    let written = text.parse::<toml_edit::Value>().ok().filter(|value| !value.is_inline_table());
    let is_written = written.as_ref().is_some_and(|value| !value.is_str());
    let written = written.map(|value| checked(&parts, value.decorated("", "")));
    match (written, checked(&parts, text.into())) {
        (Some(Ok(value)), _) | (_, Ok(value)) => Ok(value),
        (Some(Err(why)), Err(_)) if is_written => Err(invalid(key, text, why)),
        (_, Err(why)) => Err(invalid(key, text, why)),
    }
}

fn invalid(key: &str, text: &str, why: Failure) -> Failure {
    let shown = if keys::is_secret(key) { "value".to_owned() } else { format!("value {text:?}") };
    // `PATH:1: ` names no file of the user's.
    let said = why.what.split_once(": ").map_or(why.what.as_str(), |(_, said)| said);
    let range = why.why.filter(|_| said.ends_with("is out of range"));
    let failure = Failure::new(Code::Usage, format!("invalid {shown} for {key}"));
    let said = said.split_once(", expected ").map_or(said.to_owned(), |(_, expected)| format!("expected {expected}"));
    let failure = failure.cause(range.unwrap_or_else(|| said.clone()));
    match said.contains("an array") || said.contains("a sequence") {
        true => failure.help(format!("lclaude local config set {key} '[\"…\", \"…\"]'")),
        false => failure.help("lclaude local config --help"),
    }
}

/// Checks that a value suits a key, apart from all others.
fn checked(parts: &[String], value: toml_edit::Value) -> Result<toml_edit::Value> {
    let key: Vec<String> = parts.iter().map(|part| keys::quote_key(part)).collect();
    file::parse(&format!("{} = {value}\n", key.join(".")), Path::new("value"))?;
    Ok(value)
}

/// Checks the whole content of the user's file, with each of its profiles.
///
/// # Errors
/// `Config` for anything that a session would refuse.
pub(crate) fn check_user_file(text: &str, path: &Path) -> Result<()> {
    let mut table = file::parse(text, path)?;
    let profiles = table.remove("profiles");
    check_together(&[(Source::File(path.to_owned()), &table)])?;
    for (name, profile) in profiles.as_ref().and_then(Value::as_table).into_iter().flatten() {
        if let Some(profile) = profile.as_table() {
            let source = Source::Profile(name.clone(), path.to_owned());
            check_together(&[(Source::File(path.to_owned()), &table), (source, profile)])?;
        }
    }
    Ok(())
}

/// Checks the whole content of a project file.
///
/// # Errors
/// `Config` for anything that is invalid whatever the user's own file contains.
pub(crate) fn check_project_file(text: &str, path: &Path) -> Result<()> {
    debug_assert!(path.ends_with(FILE_NAME), "{path:?}");
    project::parse(text, path).map(|_| ())
}

fn check_together(layers: &[(Source, &Table)]) -> Result<()> {
    let (mut merged, mut sources) = (Table::new(), Sources::new());
    for (source, table) in layers {
        sources.extend(keys::leaves(table).into_iter().map(|key| (key, source.clone())));
        layers::merge_tables(&mut merged, (*table).clone());
    }
    let mut settings = layers::deserialize(&merged, &sources)?;
    settings.sources = sources;
    settings.drop_overridden_tiers();
    tools::resolve(settings.lean, settings.claude.tools, ["lean", "claude.tools"].map(|key| settings.source(key)))?;
    settings.validate()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: &str, text: &str) -> String {
        parse_value(key, text).map_or_else(|failure| failure.to_string(), |value| value.to_string())
    }

    #[test]
    fn value_is_found_below_keys_with_dots() {
        let table: Table = "a = 1\n[b.\"c.d\"]\ne = 'x'\n[b.c]\nf = 2".parse().expect("TOML");
        let found = |key: &str| find(&table, key).map(ToString::to_string);
        assert_eq!(found("a").as_deref(), Some("1"));
        assert_eq!(found("b.c.d.e").as_deref(), Some("\"x\""));
        assert_eq!(found("b.c.f").as_deref(), Some("2"));
        assert_eq!(found("b.x"), None);
    }

    #[test]
    fn values_are_taken_as_people_type_them() {
        for (key, text, expected) in [
            ("model", "qwen3:4b", "\"qwen3:4b\""),
            ("model", "\"quoted\"", "\"quoted\""),
            ("model", "123", "\"123\""),
            ("model", "true", "\"true\""),
            ("model", "two words", "\"two words\""),
            ("context", "65536", "65536"),
            ("lean", "true", "true"),
            ("claude.thinking", "true", "true"),
            ("claude.thinking", "auto", "\"auto\""),
            ("lifetime.linger", "10m", "\"10m\""),
            ("llamacpp.gpu_layers", "99", "99"),
            ("llamacpp.gpu_layers", "auto", "\"auto\""),
            ("lmstudio.gpu", "0.5", "\"0.5\""),
            ("llamacpp.args", "[\"--no-mmap\", \"-x\"]", "[\"--no-mmap\", \"-x\"]"),
            ("claude.env.A", "1", "\"1\""),
            ("profiles.big.lean", "true", "true"),
            ("profiles.\"a.b\".model", "x", "\"x\""),
        ] {
            assert_eq!(value(key, text), expected, "{key} {text}");
        }
    }

    #[test]
    fn wrong_types_and_ranges_are_rejected_without_secrets() {
        for (key, text, why) in [
            ("context", "many", "is not a number"),
            ("context", "5", "it must be"),
            ("lean", "yes", "expected a boolean"),
            ("llamacpp.args", "--no-mmap", "expected an array"),
            ("llamacpp.threads", "1000000", "it must be"),
            ("backend", "olama", "expected one of"),
            ("profiles.p.context", "5", "it must be"),
        ] {
            let said = value(key, text);
            assert!(said.contains(why) && said.contains("help: "), "{key} {text}: {said}");
        }
        let said = value("endpoint.headers.X", "{ secret = 1 }");
        assert_eq!(said, "\"{ secret = 1 }\"");
        assert!(check_key("claude.env").is_ok_and(|kind| kind == KeyKind::Table));
    }

    #[test]
    fn keys_are_known_with_their_kind() {
        for (key, kind) in [
            ("model", KeyKind::Value),
            ("llamacpp", KeyKind::Table),
            ("claude.env", KeyKind::Table),
            ("claude.env.A", KeyKind::Value),
            ("profiles", KeyKind::Table),
            ("profiles.p", KeyKind::Table),
            ("profiles.p.llamacpp.threads", KeyKind::Value),
            ("profiles.'a.b'.model", KeyKind::Value),
        ] {
            assert_eq!(check_key(key).ok(), Some(kind), "{key}");
        }
        for (key, near) in
            [("modle", "model"), ("llamacpp.thread", "llamacpp.threads"), ("profiles.p.bakend", "backend")]
        {
            let failure = check_key(key).expect_err(key);
            assert!(failure.help[0].contains(near), "{failure}");
        }
        for key in ["", "a b", "model.", "zzzz", "model.x"] {
            assert!(check_key(key).is_err(), "{key}");
        }
    }
}
