//! The value of `--settings`, a file or JSON. Only the last one counts, as in the real program.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

/// Returns the hello's fields about the settings; empty without settings.
pub fn describe(arguments: impl Iterator<Item = OsString>) -> Value {
    let Some(settings) = last(arguments) else {
        return json!({});
    };
    if settings.as_bytes().starts_with(b"{") {
        let parsed: Value = serde_json::from_slice(settings.as_bytes()).expect("--settings holds JSON");
        return json!({ "settings": parsed });
    }
    let path = Path::new(&settings);
    let text = fs::read(path).unwrap_or_else(|error| panic!("--settings {}: {error}", path.display()));
    let parsed: Value =
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("--settings {}: {error}", path.display()));
    let mode = fs::metadata(path)
        .unwrap_or_else(|error| panic!("--settings {}: {error}", path.display()))
        .permissions()
        .mode();
    json!({
        "settings": parsed,
        "settings_path": path.to_string_lossy(),
        "settings_mode": format!("{:o}", mode & 0o7777),
    })
}

fn last(mut arguments: impl Iterator<Item = OsString>) -> Option<OsString> {
    let mut found = None;
    while let Some(argument) = arguments.next() {
        if argument == "--settings" {
            found = arguments.next();
        } else if let Some(value) = argument.as_bytes().strip_prefix(b"--settings=") {
            found = Some(std::ffi::OsStr::from_bytes(value).to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(arguments: &[&str]) -> Value {
        describe(arguments.iter().map(OsString::from))
    }

    #[test]
    fn last_settings_option_counts_in_both_spellings() {
        let described = described(&["--settings", r#"{"a":1}"#, r#"--settings={"b":2}"#, "-p"]);
        assert_eq!(described, json!({ "settings": { "b": 2 } }));
    }

    #[test]
    fn no_settings_yield_no_fields() {
        assert_eq!(described(&["-p", "hello"]), json!({}));
    }
}
