//! Command lines as helps show them.

use std::ffi::OsString;

use super::own;
use crate::base::ui;

/// Characters of a word that are shown, since a prompt may be very long.
const MAX_WORD: usize = 200;

/// Returns the first characters of a word.
pub(super) fn shorten(word: &str) -> String {
    ui::shorten(word, MAX_WORD)
}

/// Stands for a word that can't be shown so that it could be pasted: it is long, or not text of one line.
const PLACEHOLDER: &str = "<your text>";

/// Options of Claude Code whose JSON may contain secrets.
const SECRET: &[&str] = &["--agents", "--managed-settings", "--mcp-config", "--settings"];

/// Returns words as a shell reads them.
pub(super) fn quote(words: &[OsString]) -> String {
    let mut option = String::new();
    let shown = words.iter().map(|word| {
        let text = word.to_string_lossy();
        if text.starts_with('-') {
            own::name_of(&text).clone_into(&mut option);
        }
        let start = if text.starts_with('-') && text.contains('=') { option.len() + 1 } else { 0 };
        // The option may be misspelled.
        let is_json = text[start..].trim_start().starts_with('{') || SECRET.contains(&option.as_str());
        match text.find('{').filter(|_| is_json) {
            Some(brace) => format!("{}{{…}}", text[..brace].trim_end()),
            None if word.to_str().is_none_or(is_pasted_otherwise) => PLACEHOLDER.into(),
            None => text.into_owned(),
        }
    });
    ui::quote_command(shown)
}

/// Whether a word is too long to be shown, or has characters that are shown escaped.
fn is_pasted_otherwise(word: &str) -> bool {
    word.chars().nth(MAX_WORD).is_some() || word.chars().any(ui::is_unsafe)
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
    fn words_that_could_not_be_pasted_are_replaced() {
        for word in ["é".repeat(MAX_WORD + 1), "two\nlines".into(), "\u{1b}[31m".into()] {
            assert_eq!(of(&["-p".into(), word.into()]), "lclaude -p '<your text>'");
        }
        let longest = "é".repeat(MAX_WORD);
        assert_eq!(of(&[longest.clone().into()]), format!("lclaude '{longest}'"));
    }

    #[test]
    fn json_is_masked() {
        let json = r#" {"env": {"TOKEN": "sk-secret"}}"#;
        for option in ["--mcp-config", "--agents", "--settings", "--managed-settings", "--mcp-confg"] {
            assert_eq!(quote(&[option.into(), json.into()]), format!("{option} '{{…}}'"));
            assert_eq!(quote(&[format!("{option}={json}").into()]), format!("'{option}={{…}}'"));
        }
        let several = ["--mcp-config", "a.json", r#"[{"TOKEN": "sk-secret"}]"#, "-p", "fix {this}"];
        assert_eq!(quote(&several.map(OsString::from)), "--mcp-config a.json '[{…}' -p 'fix {this}'");
        assert_eq!(quote(&words("--settings={x --settings file.json")), "'--settings={…}' --settings file.json");
    }
}
