//! Everything that lclaude prints. Messages, questions and progress go to stderr, because stdout belongs to Claude Code
//! and to the output of lclaude's own commands.
//!
//! Names, paths, logs and answers of servers come from others and could contain sequences that control a terminal. So
//! nothing else writes to stdout or stderr, and everything here is cleaned: control characters, invisible ones and those
//! that change the direction of text are escaped. Only what programs read ([`print_exact`], JSON) is exact.
//! A line break in a foreign text could imitate a line of ours, so a message is one line; in a text of several lines, each
//! foreign part goes through [`one_line`].

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    sync::OnceLock,
    time::Duration,
};

use console::{Style, Term};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

/// The user's home directory, which people see as `~`.
static HOME: OnceLock<String> = OnceLock::new();

/// Makes `~` stand for this home directory in everything that is printed for people.
pub(crate) fn abbreviate_home(home: &Path) {
    let home = home.to_string_lossy();
    if home.len() > 1 {
        let _ = HOME.set(home.trim_end_matches('/').to_owned());
    }
}

/// Prints one line to stderr. A closed terminal is not an error.
pub(crate) fn message(line: impl std::fmt::Display) {
    message_lines(one_line(line));
}

/// Prints a text of several lines to stderr.
pub(crate) fn message_lines(text: impl std::fmt::Display) {
    // One write, so that another process can't print in between.
    let text = for_people(&format!("{text}\n"));
    let _ = io::stderr().write_all(painted(&text, console::colors_enabled_stderr()).as_bytes());
}

/// Stands for a secret.
pub(crate) const MASKED: &str = "••••••••";

/// Set if the user wants no notes.
static QUIET: OnceLock<()> = OnceLock::new();

/// Leaves out notes and progress from now on.
pub(crate) fn be_quiet() {
    let _ = QUIET.set(());
}

/// Returns whether notes and progress are left out.
pub(crate) fn is_quiet() -> bool {
    QUIET.get().is_some()
}

/// Prints a note of one line to stderr: what lclaude does or chose, which the user can do without. Failures, warnings,
/// questions and results go through [`message`].
pub(crate) fn note(line: impl std::fmt::Display) {
    note_lines(one_line(line));
}

/// Prints a note of several lines to stderr.
pub(crate) fn note_lines(text: impl std::fmt::Display) {
    if !is_quiet() {
        message_lines(text);
    }
}

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
fn clean(text: &str) -> String {
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
fn painted(text: &str, in_color: bool) -> String {
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
        let is_heading = words.len() == line.len() && words.ends_with(":\n");
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

/// Prints the output of one of lclaude's own commands to stdout, for people. A closed pipe is not an error.
pub(crate) fn print(text: &str) {
    let _ = write_stdout(for_people(text).as_bytes());
}

/// Prints a report or a help text to stdout, with its headings and labels in color. See [`print`].
pub(crate) fn print_report(text: &str) {
    let _ = write_stdout(report(text).as_bytes());
}

/// Returns a report or a help text as [`print_report`] prints it.
pub(crate) fn report(text: &str) -> String {
    painted(&for_people(text), console::colors_enabled())
}

/// Prints output that programs read. On a terminal a person reads it, so there it is cleaned.
pub(crate) fn print_exact(text: &str) {
    let cleaned = io::stdout().is_terminal().then(|| clean(text));
    let _ = write_stdout(cleaned.as_deref().unwrap_or(text).as_bytes());
}

/// Prints JSON, in which every unsafe character can be escaped without changing its meaning.
pub(crate) fn print_json(json: &str) {
    let _ = write_stdout(clean_json(json).as_bytes());
}

fn clean_json(json: &str) -> String {
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

/// Writes to stdout what is clean already.
///
/// # Errors
/// `BrokenPipe` if nobody reads it any more.
pub(crate) fn write_stdout(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush())
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

/// Returns whether both stdin and stderr are terminals, so that questions can be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Returns whether a person can see messages.
pub(crate) fn is_seen() -> bool {
    io::stderr().is_terminal()
}

/// Asks for a line and returns it trimmed, or `None` at the end of the input.
pub(crate) fn ask(question: &str) -> Option<String> {
    let _ = write!(io::stderr(), "{} ", for_people(&one_line(question)));
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer).ok()?;
    (read > 0).then(|| answer.trim().to_owned())
}

/// Asks a yes/no question. Without a terminal the answer is no.
pub(crate) fn confirm(question: &str) -> bool {
    let answer = if can_ask() { ask(&format!("{question} [y/N]")) } else { None };
    answer.is_some_and(|answer| matches!(answer.to_lowercase().as_str(), "y" | "yes"))
}

/// Returns the number of columns of the terminal that stdout is, or `None` if it is none.
pub(crate) fn width() -> Option<usize> {
    let terminal = Term::stdout();
    terminal.is_term().then(|| usize::from(terminal.size().1))
}

/// Returns whether stderr is a terminal that can redraw a line.
fn can_redraw() -> bool {
    io::stderr().is_terminal() && !console::is_dumb()
}

/// Progress while a backend starts: on a terminal one live line, cleared at the end; otherwise one line per stage.
pub(crate) struct ProgressLine {
    bar: Option<ProgressBar>,
    stage: String,
}

impl ProgressLine {
    pub(crate) fn new() -> Self {
        ProgressLine { bar: None, stage: String::new() }
    }

    /// Shows a stage, with its progress as a `fraction` from 0 to 1 if known.
    pub(crate) fn show(&mut self, stage: &str, fraction: Option<f32>, detail: &str) {
        if is_quiet() {
            return;
        }
        if can_redraw() {
            self.bar.get_or_insert_with(start_live_line).set_message(progress_text(stage, fraction, detail));
        } else if self.stage != stage {
            // Without a terminal each stage is printed once, so what changes within it is left out.
            message(format_args!("lclaude: {stage}"));
        }
        stage.clone_into(&mut self.stage);
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Returns the text of a live line. Stage and detail may be what a server says.
fn progress_text(stage: &str, fraction: Option<f32>, detail: &str) -> String {
    // A server may have completed more than its total.
    let percent = fraction
        .map(|fraction| fraction.clamp(0.0, 1.0))
        .map(|fraction| format!(" {:.0}% {}", fraction * 100.0, draw_bar(fraction)));
    let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
    for_people(&one_line(format_args!("{stage}{}{detail}", percent.unwrap_or_default())))
}

fn draw_bar(fraction: f32) -> String {
    const WIDTH: usize = 12;
    let full = ((fraction * WIDTH as f32) as usize).min(WIDTH);
    format!("{}{}", "█".repeat(full), "░".repeat(WIDTH - full))
}

fn start_live_line() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} lclaude: {wide_msg} {elapsed}").expect("our own template");
    let target = ProgressDrawTarget::term_like(Box::new(Narrow(Term::buffered_stderr())));
    let bar = ProgressBar::with_draw_target(None, target).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// A terminal that reports less than its full width.
///
/// indicatif fills the live line to the last column, so the echo of a key typed meanwhile would wrap to the next line,
/// and only that line would be cleared.
#[derive(Debug)]
struct Narrow(Term);

/// Columns kept free for keys typed between two redraws.
const ECHO: u16 = 4;

impl TermLike for Narrow {
    fn width(&self) -> u16 {
        self.0.size().1.saturating_sub(ECHO).max(1)
    }

    fn height(&self) -> u16 {
        self.0.size().0
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.0.move_cursor_up(lines)
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.0.move_cursor_down(lines)
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.0.move_cursor_right(columns)
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        self.0.move_cursor_left(columns)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.write_line(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
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
    fn live_line_is_clean() {
        assert_eq!(progress_text("loading", Some(0.5), "x\ty"), "loading 50% ██████░░░░░░ (x\\ty)");
        assert!(!progress_text(FOREIGN, Some(0.5), FOREIGN).chars().any(is_unsafe));
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
