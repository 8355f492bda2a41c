//! One configuration file: its text, read as TOML, and what is wrong with it.

use std::path::Path;

use toml::Table;

use super::{keys, settings::Settings};
use crate::base::error::{Code, Failure, Result};

/// No configuration is longer; a file that is, is not one.
pub(super) const LONGEST_FILE: u64 = 1024 * 1024;

pub(super) fn text(bytes: Vec<u8>, path: &Path) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        Failure::new(Code::Config, format!("{} cannot be read", path.display()))
            .why(format!("it is not UTF-8 text ({})", error.utf8_error()))
            .help(format!("iconv -f LATIN1 -t UTF-8 {0} > {0}.utf8, and look at the result", path.display()))
    })
}

pub(super) fn parse(text: &str, path: &Path) -> Result<Table> {
    let table: Table = text.parse().map_err(|error| bad_toml(&error, text, path))?;
    if let Some((key, nearest)) = keys::unknown(&table) {
        let failure = Failure::new(Code::Config, format!("{}: unknown key `{key}`", path.display()))
            .why("a key that means nothing is more likely misspelt than meant");
        return Err(match nearest {
            Some(nearest) => failure.help(format!("did you mean `{nearest}`?")),
            None => failure.help("the README lists all keys; remove this one"),
        });
    }
    // For its errors only, which know the line here and no longer know it after merging.
    toml::from_str::<Settings>(text).map_err(|error| bad_toml(&error, text, path))?;
    Ok(table)
}

/// Names the line, but does not quote it: it may hold a secret.
fn bad_toml(error: &toml::de::Error, text: &str, path: &Path) -> Failure {
    let place = match error.span() {
        Some(span) => format!("{}:{}", path.display(), text[..span.start].matches('\n').count() + 1),
        None => path.display().to_string(),
    };
    // It quotes a value that should have been something else.
    let message = match error.message().split_once("invalid type: string \"") {
        Some((before, after)) => {
            format!("{before}invalid type: a string{}", after.rsplit_once('"').map_or("", |(_, rest)| rest))
        }
        None => error.message().to_owned(),
    };
    Failure::new(Code::Config, format!("{place}: {message}"))
        .why("lclaude reads it as TOML")
        .help(format!("${{EDITOR:-vi}} {}", path.display()))
}
