//! Refuses downloads for untrusted project files.

use std::path::Path;

use crate::base::error::{Code, Failure, Result};

/// Refuses to download `model` if an untrusted project file chooses what is used, even with `--yes`. A freshly cloned
/// repository must not cause downloads.
///
/// # Errors
/// `Refused` if `untrusted`, the path of that file, is set.
pub(crate) fn refuse_download(untrusted: Option<&Path>, model: &str) -> Result<()> {
    match untrusted {
        None => Ok(()),
        Some(file) => Err(Failure::new(Code::Refused, format!("{model} is not installed"))
            .cause(format!("{} is not trusted, so it cannot download models", file.display()))
            .help("lclaude local trust")
            .help(format!("lclaude --model {model}"))),
    }
}
