//! The ranges of the numbers and times in configuration files. A value outside would overflow a clock or be refused by a
//! server long after the start.

use std::{fmt, path::Path, time::Duration};

use serde::{Deserializer, de};
use toml::de::{DeTable, DeValue};

use super::keys::{quote_key, shorten};
use crate::base::{
    context::CONTEXT_LIMITS,
    error::{Code, Failure, Result},
    size, ui,
};

/// The values that a key may have.
#[derive(Debug)]
enum Range {
    Number(u32, u32),
    /// A number that [`parse_tokens`] reads.
    Tokens(u32, u32),
    Time(Duration, Duration),
    /// In bytes.
    Size(u64, u64),
    /// LM Studio's part of a model.
    Part,
    /// With or without a decimal point.
    Decimal(f64, f64),
}

use Range::{Decimal, Number, Part, Size, Time, Tokens};

const TENTH: Duration = Duration::from_millis(100);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// As `humantime` counts it.
const YEAR: Duration = Duration::from_secs(31_557_600);
/// Less than what a keeper has to shut down (`CLEANUP_TIMEOUT` in `keeper`).
const MAX_STOP: Duration = Duration::from_secs(45);

/// Every key with a range, and a value for it in TOML.
const RANGES: &[(&str, Range, &str)] = &[
    ("context", Tokens(*CONTEXT_LIMITS.start(), *CONTEXT_LIMITS.end()), "65536"),
    // Also less than the context, which `Settings::validate` checks.
    ("claude.max_output_tokens", Number(1, *CONTEXT_LIMITS.end()), "8192"),
    ("lifetime.linger", Time(Duration::ZERO, YEAR), "\"10m\""),
    ("lifetime.startup_timeout", Time(TENTH, DAY), "\"10m\""),
    ("lifetime.restarts", Number(0, 1000), "3"),
    // A prompt's cache has at least some megabytes.
    ("warm.max_size", Size(1_000_000, 100_000_000_000_000), "\"8GB\""),
    ("lmstudio.gpu", Part, "\"max\""),
    ("lmstudio.parallel", Number(1, 1024), "1"),
    // llama.cpp's GGML_MAX_N_THREADS.
    ("llamacpp.threads", Number(1, 512), "8"),
    ("llamacpp.batch_size", Number(1, 1 << 20), "2048"),
    ("llamacpp.ubatch_size", Number(1, 1 << 20), "512"),
    ("llamacpp.gpu_layers", Number(0, 1_000_000), "99"),
    // No model has as many layers.
    ("llamacpp.n_cpu_moe", Number(0, 4096), "20"),
    ("llamacpp.main_gpu", Number(0, 127), "0"),
    ("llamacpp.sampling.temperature", Decimal(0.0, 10.0), "0.7"),
    ("llamacpp.sampling.top_k", Number(0, 1_000_000), "40"),
    ("llamacpp.sampling.top_p", Decimal(0.0, 1.0), "0.95"),
    ("llamacpp.sampling.min_p", Decimal(0.0, 1.0), "0.05"),
    ("llamacpp.sampling.repeat_penalty", Decimal(0.01, 10.0), "1.05"),
    ("llamacpp.sampling.presence_penalty", Decimal(-10.0, 10.0), "1.0"),
    ("llamacpp.sampling.frequency_penalty", Decimal(-10.0, 10.0), "0.5"),
    ("llamacpp.sampling.seed", Number(0, u32::MAX), "42"),
    ("command.stop_timeout", Time(TENTH, MAX_STOP), "\"10s\""),
];

/// Checks the values of a file and of its profiles. A file that can't be parsed, and values of a wrong type, are left to
/// the parser.
///
/// # Errors
/// `Config` for the first value that is out of range.
pub(super) fn check(text: &str, path: &Path) -> Result<()> {
    let Ok(document) = DeTable::parse(text) else {
        return Ok(());
    };
    let document = document.get_ref();
    check_table(document, "", text, path)?;
    for (name, profile) in table(document, "profiles").into_iter().flatten() {
        if let Some(profile) = profile.get_ref().as_table() {
            check_table(profile, &format!("profiles.{}.", quote_key(name.get_ref())), text, path)?;
        }
    }
    Ok(())
}

/// Returns the sentence that says which values a dotted key may have, or `None` if it has no range.
pub(super) fn expected(key: &str) -> Option<String> {
    RANGES.iter().find(|(known, ..)| *known == key).map(|(_, range, _)| format!("it must be {range}"))
}

/// Parses a context in tokens. One that is too small or too large for a model server is left to `Settings::validate`.
///
/// # Errors
/// The sentence that says which values are allowed.
pub(crate) fn parse_context(text: &str) -> Result<u32, String> {
    parse_tokens(text).ok_or_else(|| expected("context").unwrap_or_default())
}

/// Parses a number of tokens, such as `65536`, `64k` or `1m`, where k is 1024 and m is 1024 k.
fn parse_tokens(text: &str) -> Option<u32> {
    let (number, unit) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1 << 10),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |number| (number, 1 << 20)),
    };
    number.parse::<u32>().ok()?.checked_mul(unit)
}

/// Deserializes a number of tokens, which may be written with a unit in quotes.
pub(super) fn tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    struct Visitor;

    impl de::Visitor<'_> for Visitor {
        type Value = Option<u32>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number of tokens")
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
            let tokens = u32::try_from(number).map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))?;
            Ok(Some(tokens))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            let tokens = parse_tokens(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))?;
            Ok(Some(tokens))
        }
    }

    deserializer.deserialize_any(Visitor)
}

/// Checks the values of a table whose name is `prefix`, with a dot at its end.
fn check_table(values: &DeTable<'_>, prefix: &str, text: &str, path: &Path) -> Result<()> {
    for (key, range, example) in RANGES {
        let (value, within, name) = match key.rsplit_once('.') {
            Some((path, name)) => {
                let inner = path.split('.').try_fold(values, table);
                (inner.and_then(|inner| inner.get(name)), format!("[{prefix}{path}]"), name)
            }
            None if prefix.is_empty() => (values.get(*key), "the configuration".into(), *key),
            None => (values.get(*key), format!("[{}]", prefix.trim_end_matches('.')), *key),
        };
        if let Some(value) = value.filter(|value| !range.contains(value.get_ref())) {
            let line = text[..value.span().start].matches('\n').count().saturating_add(1);
            let written = shorten(text[value.span()].to_owned());
            let is_number = !matches!((range, value.get_ref()), (Tokens(..), DeValue::String(text)) if parse_tokens(text).is_none());
            let fault = if is_number { "out of range" } else { "not a number" };
            let what = format!("{}:{line}: {name} = {written} is {fault}", path.display());
            return Err(Failure::new(Code::Config, what)
                .cause(format!("it must be {range}"))
                .help(format!("set {name} = {example} in {within}"))
                .help(format!("${{EDITOR:-vi}} +{line} {}", ui::quote_path(path))));
        }
    }
    Ok(())
}

fn table<'a, 'i>(values: &'a DeTable<'i>, name: &str) -> Option<&'a DeTable<'i>> {
    values.get(name)?.get_ref().as_table()
}

impl Range {
    /// Returns whether a value is in the range, or of a type that the parser rejects.
    fn contains(&self, value: &DeValue<'_>) -> bool {
        match (self, value) {
            // Some numbers have words too.
            (Number(least, most), DeValue::Integer(number)) => {
                let number = u32::from_str_radix(number.as_str(), number.radix());
                number.is_ok_and(|number| (*least..=*most).contains(&number))
            }
            (Tokens(least, most), DeValue::Integer(number)) => {
                let number = u32::from_str_radix(number.as_str(), number.radix());
                number.is_ok_and(|number| (*least..=*most).contains(&number))
            }
            (Tokens(least, most), DeValue::String(text)) => {
                parse_tokens(text).is_some_and(|number| (*least..=*most).contains(&number))
            }
            (Time(least, most), DeValue::String(time)) => {
                humantime::parse_duration(time).is_ok_and(|time| (*least..=*most).contains(&time))
            }
            (Size(least, most), DeValue::String(size)) => {
                size::parse(size).is_some_and(|size| (*least..=*most).contains(&size))
            }
            (Part, DeValue::String(part)) => {
                matches!(&**part, "max" | "off") || part.parse().is_ok_and(|part| (0.0..=1.0).contains(&part))
            }
            (Decimal(least, most), DeValue::Float(number)) => {
                number.as_str().replace('_', "").parse().is_ok_and(|number: f64| (*least..=*most).contains(&number))
            }
            (Decimal(least, most), DeValue::Integer(number)) => {
                let number = i32::from_str_radix(number.as_str(), number.radix());
                number.is_ok_and(|number| (*least..=*most).contains(&number.into()))
            }
            (Number(..) | Tokens(..), DeValue::Float(_))
            | (Time(..) | Size(..) | Part, DeValue::Integer(_) | DeValue::Float(_)) => false,
            _ => true,
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number(least, most) => write!(f, "a whole number from {least} to {most}"),
            Tokens(least, most) => write!(f, "a whole number from {least} to {most}, such as 65536 or 64k"),
            Time(least, most) => {
                let shown = humantime::format_duration;
                write!(f, "a time from {} to {}, in quotes and with a unit", shown(*least), shown(*most))
            }
            Size(least, most) => {
                let shown = ui::format_bytes;
                write!(f, "a size from {} to {}, in quotes and with a unit", shown(*least), shown(*most))
            }
            Decimal(least, most) => write!(f, "a number from {least} to {most}"),
            Part => write!(f, "\"max\", \"off\", or a number from 0 to 1 in quotes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    fn check_text(text: &str) -> Result<()> {
        check(text, Path::new("x.toml"))
    }

    #[test]
    fn ranges_belong_to_keys_and_contain_their_examples() {
        for (key, _, example) in RANGES {
            assert!(keys::all().any(|known| known == *key), "{key}");
            assert_eq!(check_text(&format!("{key} = {example}")), Ok(()));
        }
    }

    #[test]
    fn extreme_values_are_out_of_range_in_files_and_profiles() {
        let extremes = [
            "-1",
            "18446744073709551615",
            "0xffffffffffffffffff",
            "1e308",
            "-inf",
            "nan",
            "\"1ns\"",
            "\"\"",
            "\"-1s\"",
            "\"584542046090y\"",
            "\"18446744073709551615s\"",
            "\"nan\"",
            "\"1e308\"",
        ];
        for (key, range, _) in RANGES {
            for value in extremes {
                let is_text = value.starts_with('"');
                // The parser rejects these types.
                if is_text && matches!(range, Number(..) | Decimal(..)) {
                    continue;
                }
                if value == "-1" && matches!(range, Decimal(least, _) if *least < 0.0) {
                    continue;
                }
                // Nothing is too short for `linger`.
                if *key == "lifetime.linger" && value == "\"1ns\"" {
                    continue;
                }
                for text in [format!("{key} = {value}"), format!("profiles.'a.b'.{key} = {value}")] {
                    let failure = check_text(&format!("\n{text}")).expect_err(&text);
                    assert!(failure.what.starts_with("x.toml:2: ") && failure.what.contains(value), "{failure}");
                    assert!(failure.help[0].starts_with("set "), "{failure}");
                }
            }
        }
    }

    #[test]
    fn context_may_have_a_unit() {
        for (text, tokens) in
            [("65536", 65_536), ("64k", 65_536), ("128K", 131_072), ("1m", 1_048_576), ("1M", 1 << 20)]
        {
            assert_eq!(parse_context(text), Ok(tokens), "{text}");
            for value in [text.to_owned(), format!("\"{text}\"")] {
                let Ok(text) = format!("context = {value}").parse::<toml::Table>() else { continue };
                let settings: crate::config::Settings = text.try_into().expect("a context");
                assert_eq!(settings.context, Some(tokens), "{value}");
            }
            assert_eq!(check_text(&format!("context = \"{text}\"")), Ok(()));
        }
        for text in ["", "k", "64kk", "64 k", "64kb", "-1k", "1.5k", "4194304k", "4096m", "sixty"] {
            let why = parse_context(text).expect_err(text);
            assert_eq!(why, "it must be a whole number from 2048 to 16777216, such as 65536 or 64k");
            check_text(&format!("context = \"{text}\"")).expect_err(text);
        }
    }

    #[test]
    fn limits_are_in_range() {
        for (key, range, _) in RANGES {
            let (least, most) = match range {
                Number(least, most) | Tokens(least, most) => (least.to_string(), most.to_string()),
                Time(least, most) => (format!("\"{}ms\"", least.as_millis()), format!("\"{}s\"", most.as_secs())),
                Size(least, most) => (format!("\"{least}B\""), format!("\"{most}B\"")),
                Part => ("\"0\"".into(), "\"1.0\"".into()),
                Decimal(least, most) => (format!("{least:?}"), most.to_string()),
            };
            assert_eq!(check_text(&format!("{key} = {least}")), Ok(()));
            assert_eq!(check_text(&format!("{key} = {most}")), Ok(()));
        }
    }
}
