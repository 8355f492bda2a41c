//! What is never downloaded.

use std::path::Path;

use crate::base::error::{Code, Failure, Result};

/// A repository that was just cloned downloads nothing, whatever else the user said yes to.
///
/// `untrusted`: the project's file that chooses what is used without the user's word.
///
/// # Errors
/// `Refused` where there is such a file.
pub fn refuse_download(untrusted: Option<&Path>, model: &str) -> Result<()> {
    match untrusted {
        None => Ok(()),
        Some(file) => Err(Failure::new(Code::Refused, format!("{model} is not installed"))
            .why(format!("{} chooses what is used, and without your word none is downloaded for it", file.display()))
            .help("lclaude local trust")
            .help(format!("or by your own word: lclaude --model {model}"))),
    }
}
