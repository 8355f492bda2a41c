//! Parses one configuration file and reports its errors.

use std::path::Path;

use toml::Table;

use super::{ranges, settings::Settings, unknown};
use crate::base::{
    error::{Code, Failure, Result},
    ui,
};

/// The size limit of a configuration file, in bytes.
pub(super) const MAX_FILE: u64 = 1024 * 1024;

/// Decodes a file as UTF-8.
pub(super) fn decode(bytes: Vec<u8>, path: &Path) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        Failure::new(Code::Config, format!("{} cannot be read", path.display()))
            .cause(format!("it is not valid UTF-8 ({})", error.utf8_error()))
            .help(format!("iconv -f LATIN1 -t UTF-8 {0} > {0}.utf8", ui::quote_path(path)))
    })
}

/// Parses a file and checks its keys, and the types and ranges of its values.
pub(super) fn parse(text: &str, path: &Path) -> Result<Table> {
    // First, since the parser knows only the types.
    ranges::check(text, path)?;
    let table: Table = text.parse().map_err(|error| bad_toml(&error, text, path))?;
    unknown::check(text, path)?;
    // Only for the errors, which still have line numbers before merging.
    toml::from_str::<Settings>(text).map_err(|error| bad_toml(&error, text, path))?;
    Ok(table)
}

/// Replaces the parser's names of types by those of TOML.
pub(crate) fn name_types(message: &str) -> String {
    message
        .replace("expected u32", "expected a whole number")
        .replace("invalid type: sequence", "invalid type: array")
        .replace("invalid type: map", "invalid type: table")
        .replace("expected a sequence", "expected an array")
        .replace("expected a map", "expected a table")
}

/// Returns a failure that names the line but doesn't quote it, since it may contain a secret.
fn bad_toml(error: &toml::de::Error, text: &str, path: &Path) -> Failure {
    let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
    let place = match line {
        Some(line) => format!("{}:{line}", path.display()),
        None => path.display().to_string(),
    };
    let at = line.map(|line| format!("+{line} ")).unwrap_or_default();
    // The parser quotes a string of the wrong type, which may be a secret.
    let message = match error.message().split_once("invalid type: string \"") {
        Some((before, after)) => {
            format!("{before}invalid type: a string{}", after.rsplit_once('"').map_or("", |(_, rest)| rest))
        }
        None => error.message().to_owned(),
    };
    let message = name_types(&message);
    Failure::new(Code::Config, format!("{place}: {message}"))
        .cause("configuration files are TOML")
        .help(format!("${{EDITOR:-vi}} {at}{}", ui::quote_path(path)))
}
