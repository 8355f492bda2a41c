//! Finds the unknown keys of a file, and says what each should be.

use std::path::Path;

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::keys::{self, find_nearest, quote_key, shorten};
use crate::base::{
    error::{Code, Failure, Result},
    ui,
};

/// Unknown keys that are reported one by one.
const MAX_REPORTED: usize = 10;

/// The table whose unknown keys are probably options of llama-server.
const LLAMACPP: &str = "llamacpp.";

/// Names that llama-server and its libraries give to what has a key here (llama.cpp b11434).
const LLAMA_NAMES: &[(&str, &str)] = &[
    ("ctk", "llamacpp.cache_type_k"),
    ("ctv", "llamacpp.cache_type_v"),
    ("ctx", "context"),
    ("ctx_size", "context"),
    ("hf_repo", "llamacpp.hf"),
    ("n_batch", "llamacpp.batch_size"),
    ("n_ctx", "context"),
    ("n_ubatch", "llamacpp.ubatch_size"),
    ("ngl", "llamacpp.gpu_layers"),
];

/// An unknown key.
struct Unknown<'a> {
    /// The start of the names of the profile's keys, or nothing.
    profile: String,
    /// Its dotted path in the file or the profile.
    key: String,
    value: &'a DeValue<'a>,
    /// Where it starts in the text, in bytes.
    at: usize,
}

/// Checks that a file, which is valid TOML, has only known keys.
///
/// # Errors
/// `Config` with all unknown keys and their lines.
pub(super) fn check(text: &str, path: &Path) -> Result<()> {
    let Ok(document) = DeTable::parse(text) else {
        return Ok(());
    };
    let unknown = find(document.get_ref());
    let place = |unknown: &Unknown<'_>| format!("{}:{}", path.display(), unknown.line(text));
    let Some(first) = unknown.first() else {
        return Ok(());
    };
    let what = match unknown.len() {
        1 => format!("{}: unknown key `{}`", place(first), first.name()),
        number => format!("{} has {number} unknown keys", path.display()),
    };
    let mut failure = Failure::new(Code::Config, what).cause("unknown keys are errors, since most of them are typos");
    if unknown.len() == 1 {
        failure = failure.help(first.advice());
    } else {
        for unknown in unknown.iter().take(MAX_REPORTED) {
            let (key, advice) = (unknown.name(), unknown.advice());
            failure = failure.help(format!("{}: unknown key `{key}`: {advice}", place(unknown)));
        }
    }
    Err(failure.help(format!("${{EDITOR:-vi}} +{} {}", first.line(text), ui::quote_path(path))))
}

/// Returns the unknown keys in the order of the file.
fn find<'a>(document: &'a DeTable<'a>) -> Vec<Unknown<'a>> {
    let mut found = Vec::new();
    for (name, value) in document {
        match (&**name.get_ref(), value.get_ref().as_table()) {
            // A profile has the same keys as the file. Its name may contain dots.
            ("profiles", Some(profiles)) => {
                for (name, profile) in profiles {
                    if let Some(profile) = profile.get_ref().as_table() {
                        collect(profile, &format!("profiles.{}.", quote_key(name.get_ref())), "", &mut found);
                    }
                }
            }
            _ => collect_one(name, value.get_ref(), "", "", &mut found),
        }
    }
    found.sort_by_key(|unknown| unknown.at);
    found
}

/// Adds the unknown keys of a table. `profile`: the start of the names of a profile's keys. `table`: the table's name,
/// with a dot at its end.
fn collect<'a>(values: &'a DeTable<'a>, profile: &str, table: &str, found: &mut Vec<Unknown<'a>>) {
    for (name, value) in values {
        collect_one(name, value.get_ref(), profile, table, found);
    }
}

fn collect_one<'a>(
    name: &Spanned<DeString<'a>>,
    value: &'a DeValue<'a>,
    profile: &str,
    table: &str,
    found: &mut Vec<Unknown<'a>>,
) {
    let key = format!("{table}{}", name.get_ref());
    // A table is only a value if it is empty.
    if let Some(inner) = value.as_table().filter(|inner| !inner.is_empty()) {
        collect(inner, profile, &format!("{key}."), found);
    } else if !keys::is_known(&key) {
        found.push(Unknown { profile: profile.to_owned(), key, value, at: name.span().start });
    }
}

impl Unknown<'_> {
    fn name(&self) -> String {
        shorten(format!("{}{}", self.profile, self.key))
    }

    fn line(&self, text: &str) -> usize {
        text[..self.at].matches('\n').count() + 1
    }

    /// Returns what to do with it.
    fn advice(&self) -> String {
        let Unknown { profile, key, value, .. } = self;
        let in_llamacpp = key.strip_prefix(LLAMACPP);
        let other_name = LLAMA_NAMES.iter().find(|(name, _)| in_llamacpp == Some(*name)).map(|(_, known)| *known);
        let nearest = other_name.or_else(|| find_nearest(key, keys::all()));
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let is_typo = |known: &str| strsim::damerau_levenshtein(&last(key), &last(known)) <= 2;
        match (in_llamacpp, nearest) {
            // What resembles no key of ours is an option.
            (Some(name), nearest) if other_name.is_none() && !nearest.is_some_and(is_typo) => {
                let args = format!("args = [{}] in [{profile}llamacpp]", argument(name, value));
                format!("if llama-server has this option, set {}", shorten(args))
            }
            (_, Some(nearest)) => format!("did you mean `{profile}{nearest}`?"),
            (_, None) => "remove it".into(),
        }
    }
}

/// Returns a key and its value as arguments of llama-server in TOML. A text may be a secret and is left out.
fn argument(name: &str, value: &DeValue<'_>) -> String {
    let option = format!("--{}", name.replace('_', "-"));
    match value {
        DeValue::Boolean(true) => format!("{option:?}"),
        DeValue::Boolean(false) => format!("\"--no-{}\"", option.trim_start_matches("--")),
        DeValue::Integer(number) => format!("{option:?}, \"{number}\""),
        DeValue::Float(number) => format!("{option:?}, \"{number}\""),
        _ => format!("{option:?}, \"…\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(text: &str) -> Option<Failure> {
        check(text, Path::new("x.toml")).err()
    }

    fn first_help(text: &str) -> String {
        failure(text).unwrap_or_else(|| panic!("{text} has only known keys")).help.swap_remove(0)
    }

    #[test]
    fn known_keys_are_accepted_in_files_and_profiles() {
        for text in [
            "backend = 'x'\n[llamacpp.env]\nA = '1'\n[claude]\n[profiles.p]\nmodel = 'y'",
            "[profiles.\"glm-4.7\"]\nmodel = 'y'\nclaude.env.A = 'z'\n[profiles.empty]",
        ] {
            assert_eq!(failure(text), None, "{text}");
        }
    }

    #[test]
    fn unknown_key_suggests_the_nearest_known_key() {
        for (text, nearest) in [
            ("modle = 'x'", "model"),
            ("[llamacpp]\ngpu_layer = 1", "llamacpp.gpu_layers"),
            ("threads = 4", "llamacpp.threads"),
            ("[profiles.p]\nbakend = 'x'", "profiles.p.backend"),
            ("[profiles.\"glm-4.7\"]\nbakend = 'x'", "profiles.\"glm-4.7\".backend"),
            ("[llamacpp]\nn_gpu_layers = 9", "llamacpp.gpu_layers"),
            ("[llamacpp]\nngl = 9", "llamacpp.gpu_layers"),
            ("[llamacpp]\nn_ctx = 9", "context"),
            ("[llamacpp]\nmodel = 'x'", "model"),
        ] {
            assert_eq!(first_help(text), format!("did you mean `{nearest}`?"), "{text}");
        }
        assert_eq!(first_help("zzzz = 1"), "remove it");
    }

    #[test]
    fn option_of_llama_server_belongs_in_its_arguments() {
        for (line, arguments) in [
            ("rope_scaling = 'sk-maybe-a-secret'", r#""--rope-scaling", "…""#),
            ("no_mmap = true", r#""--no-mmap""#),
            ("mmap = false", r#""--no-mmap""#),
            ("rope_freq_base = 1000000", r#""--rope-freq-base", "1000000""#),
            ("yarn_ext_factor = 0.5", r#""--yarn-ext-factor", "0.5""#),
        ] {
            let help = |table: &str| format!("if llama-server has this option, set args = [{arguments}] in [{table}]");
            assert_eq!(first_help(&format!("[llamacpp]\n{line}")), help("llamacpp"));
            assert_eq!(first_help(&format!("[profiles.p.llamacpp]\n{line}")), help("profiles.p.llamacpp"));
        }
    }

    #[test]
    fn unknown_keys_are_reported_together_with_their_lines() {
        let Failure { what, help, .. } =
            failure("modle = 'x'\n\n[zzzz]\na.b = 1\n[llamacpp]\nthread = 1\n").expect("unknown keys");
        assert_eq!(what, "x.toml has 3 unknown keys");
        assert_eq!(
            help,
            [
                "x.toml:1: unknown key `modle`: did you mean `model`?",
                "x.toml:4: unknown key `zzzz.a.b`: remove it",
                "x.toml:6: unknown key `llamacpp.thread`: did you mean `llamacpp.threads`?",
                "${EDITOR:-vi} +1 x.toml",
            ]
        );
        let many: String = (0..100_000).map(|number| format!("k{number} = 1\n")).collect();
        assert_eq!(failure(&many).expect("unknown keys").help.len(), MAX_REPORTED + 1);
    }

    #[test]
    fn very_long_key_is_truncated_without_suggestion() {
        let Failure { what, help, .. } = failure(&format!("{} = 1", "model".repeat(100_000))).expect("an unknown key");
        assert!(what.chars().count() < 300 && help[0] == "remove it", "{what} {help:?}");
    }
}
