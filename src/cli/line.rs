//! Command lines as helps show them.

use std::ffi::{OsStr, OsString};

use crate::base::ui;

/// Characters of a word that are shown, since a prompt may be very long.
const MAX_WORD: usize = 200;

/// Returns the first characters of a word.
pub(super) fn shorten(word: &str) -> String {
    ui::shorten(word, MAX_WORD)
}

/// Returns words as a shell reads them.
pub(super) fn quote(words: &[OsString]) -> String {
    let mut previous = OsStr::new("");
    let shown = words.iter().map(|word| {
        // Settings may contain secrets.
        let is_settings = previous == "--settings" || word.as_encoded_bytes().starts_with(b"--settings=");
        previous = word;
        let word = word.to_string_lossy();
        match word.find('{').filter(|_| is_settings) {
            Some(brace) => format!("{}{{…}}", &word[..brace]),
            None => shorten(&word),
        }
    });
    ui::quote_command(shown)
}

/// Returns the command line of lclaude with these arguments.
pub(crate) fn of(arguments: &[OsString]) -> String {
    match quote(arguments) {
        words if words.is_empty() => "lclaude".into(),
        words => format!("lclaude {words}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn shown_words_are_short_and_without_secrets() {
        let long = "é".repeat(MAX_WORD + 1);
        let shown = of(&["-p".into(), long.into(), "--settings".into(), r#"{"env": {"KEY": "sk-x"}}"#.into()]);
        assert!(shown.chars().count() < MAX_WORD + 50 && !shown.contains("sk-x"), "{shown}");
        assert_eq!(quote(&words("--settings={x --settings file.json")), "'--settings={…}' --settings file.json");
    }
}
