//! How text is shown: cleaned of what could control a terminal, on one line, quoted for a shell, in color. Prints nothing.

use std::{path::Path, sync::OnceLock};

use console::Style;

/// The user's home directory, which people see as `~`.
static HOME: OnceLock<String> = OnceLock::new();

/// Makes `~` stand for this home directory in everything that is printed for people.
pub(crate) fn abbreviate_home(home: &Path) {
    let home = home.to_string_lossy();
    if home.len() > 1 {
        let _ = HOME.set(home.trim_end_matches('/').to_owned());
    }
}

/// Stands for a secret.
pub(crate) const MASKED: &str = "••••••••";

/// Returns a text on one line, with every character escaped that could control a terminal.
pub(crate) fn one_line(text: impl std::fmt::Display) -> String {
    clean(&text.to_string()).replace('\n', "\\n").replace('\t', "\\t")
}

/// Returns a line of another program's output on one line. Its colors are dropped.
pub(crate) fn log_line(line: &str) -> String {
    one_line(console::strip_ansi_codes(line.trim_end_matches('\r')))
}

/// Returns the first `limit` characters of a text, with `…` if there are more.
pub(crate) fn shorten(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Returns a text of several lines with every other character escaped that could control a terminal.
pub(super) fn clean(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => shown.push(character),
            '\r' => shown.push_str("\\r"),
            _ if is_unsafe(character) => shown.extend(character.escape_unicode()),
            _ => shown.push(character),
        }
    }
    shown
}

/// Returns a clean text, with the home directory as `~`.
pub(crate) fn for_people(text: &str) -> String {
    let text = clean(text);
    match HOME.get() {
        Some(home) => with_tilde(&text, home),
        None => text,
    }
}

/// Returns a text with its headings bold, and its labels in the colors that cargo and gh use. Only the starts of lines
/// are painted: lines are ours, and foreign text stands inside them.
pub(super) fn painted(text: &str, in_color: bool) -> String {
    if !in_color {
        return text.to_owned();
    }
    let labels = [
        ("lclaude: error:", Style::new().red().bold()),
        ("lclaude: warning:", Style::new().yellow().bold()),
        ("warning:", Style::new().yellow().bold()),
        ("help:", Style::new().cyan()),
        ("Usage:", Style::new().bold()),
        ("ok ", Style::new().green()),
        ("warning ", Style::new().yellow()),
        ("FAILURE ", Style::new().red()),
    ];
    let mut shown = String::with_capacity(text.len() + 64);
    for line in text.split_inclusive('\n') {
        let words = line.trim_start();
        let is_heading = words.len() == line.len() && words.ends_with(":\n") && !words.starts_with("lclaude: ");
        let label = match is_heading {
            true => Some((words.trim_end(), Style::new().bold())),
            false => labels.iter().find(|(label, _)| words.starts_with(label)).cloned(),
        };
        let Some((label, style)) = label else {
            shown.push_str(line);
            continue;
        };
        let (indent, rest) = line.split_at(line.len() - words.len());
        shown.push_str(indent);
        shown.push_str(&style.force_styling(true).apply_to(label).to_string());
        shown.push_str(&rest[label.len()..]);
    }
    shown
}

/// Replaces the home directory by `~` where a shell, or lclaude's configuration, reads a path there: at the start of a
/// word, or of a double-quoted value. Between single quotes `~` would be a name.
fn with_tilde(text: &str, home: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(home) {
        let (before, after) = (&rest[..at], &rest[at + home.len()..]);
        shown.push_str(before);
        let starts = shown.chars().next_back().is_none_or(|c| c.is_whitespace() || "(\"`".contains(c));
        let ends = after.chars().next().is_none_or(|c| c.is_whitespace() || "/):;,\"`".contains(c));
        shown.push_str(if starts && ends { "~" } else { home });
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// Returns whether a character is a control character, invisible, or changes the direction of text.
pub(crate) fn is_unsafe(character: char) -> bool {
    let hidden = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{ad}' | '\u{61c}' | '\u{e0000}'..='\u{e007f}');
    character.is_control() || hidden
}

pub(super) fn clean_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        if character != '\n' && is_unsafe(character) {
            let units =
                character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            shown.push_str(&units);
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Returns a number of bytes as text, in decimal units.
pub(crate) fn format_bytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        1_000_000_000..1_000_000_000_000 => format!("{:.1} GB", bytes as f64 / 1e9),
        _ => format!("{:.1} TB", bytes as f64 / 1e12),
    }
}

/// Quotes a text for all Bourne shells. `shlex` isn't used because it also quotes `=` and `{port}` and mixes both kinds
/// of quotes, which makes a command harder to read.
pub(crate) fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Returns a command line, quoted for a POSIX shell.
pub(crate) fn quote_command(words: impl Iterator<Item = String>) -> String {
    let quoted = |word: String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%{}".contains(c);
        if !word.is_empty() && word.chars().all(plain) { word } else { single_quoted(&word) }
    };
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

/// Returns a path as a shell reads it.
pub(crate) fn quote_path(path: &Path) -> String {
    quote_command(std::iter::once(path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A title, colors, a link, the clipboard, a carriage return, C1, directions, invisible characters and tags.
    const FOREIGN: &str =
        "a\x1b]0;t\x07\x1b[31m\x1b]8;;http://x\x1b\\\x1b]52;c;eA==\x07\r\u{9b}2J\u{202e}\u{200b}\u{e0041}\x7f\nb\tc é";

    #[test]
    fn text_cannot_control_a_terminal() {
        let line = one_line(FOREIGN);
        assert!(!line.chars().any(is_unsafe), "{line}");
        assert!(line.starts_with("a\\u{1b}]0;t\\u{7}") && line.ends_with("\\u{7f}\\nb\\tc é"), "{line}");
        let lines = clean(FOREIGN);
        assert_eq!(lines.replace('\n', "\\n").replace('\t', "\\t"), line);
        assert_eq!(clean(&lines), lines, "cleaning twice changes nothing");
        assert_eq!(log_line("\x1b[32mINFO\x1b[0m up\r"), "INFO up");
        assert!(!log_line(FOREIGN).chars().any(is_unsafe));
    }

    #[test]
    fn home_is_a_tilde_where_a_shell_expands_it() {
        for (text, shown) in [
            ("/h/u", "~"),
            ("ls -l /h/u/x", "ls -l ~/x"),
            ("/h/u: not found (/h/u/a, /h/u)", "~: not found (~/a, ~)"),
            ("model = \"/h/u/m.gguf\"", "model = \"~/m.gguf\""),
            ("ls '/h/u/my dir'", "ls '/h/u/my dir'"),
            ("A=/h/u/x /h/user /mnt/h/u/x --a=/h/u", "A=/h/u/x /h/user /mnt/h/u/x --a=/h/u"),
        ] {
            assert_eq!(with_tilde(text, "/h/u"), shown);
        }
    }

    #[test]
    fn only_labels_and_headings_at_the_start_of_a_line_are_painted() {
        let text = "Examples:\nlclaude: error: help: no\n  help: a help: b\n  ok       x\nokay\n  Name:\n";
        assert_eq!(painted(text, false), text);
        assert_eq!(
            painted(text, true),
            "\u{1b}[1mExamples:\u{1b}[0m\n\u{1b}[31m\u{1b}[1mlclaude: error:\u{1b}[0m help: no\n  \
             \u{1b}[36mhelp:\u{1b}[0m a help: b\n  \u{1b}[32mok \u{1b}[0m      x\nokay\n  Name:\n"
        );
    }

    #[test]
    fn json_keeps_its_meaning() {
        let json = serde_json::json!({ "name": FOREIGN });
        let shown = clean_json(&format!("{json:#}"));
        assert!(!shown.chars().any(|c| c != '\n' && is_unsafe(c)), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), json);
    }
}
