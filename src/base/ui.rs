//! Messages, questions and progress on the terminal. They go to stderr, because stdout belongs to Claude Code.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    time::Duration,
};

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

/// Prints a line to stderr. A closed terminal is not an error.
pub(crate) fn message(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{}", escape(&line.to_string()));
}

/// Returns `text` with control and invisible characters escaped, since file names and project files may contain them.
pub(crate) fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => shown.push(character),
            _ if is_unsafe(character) => shown.extend(character.escape_unicode()),
            _ => shown.push(character),
        }
    }
    shown
}

/// Returns whether a character is a control character, invisible, or changes the direction of text.
pub(crate) fn is_unsafe(character: char) -> bool {
    let hidden = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{ad}' | '\u{61c}' | '\u{e0000}'..='\u{e007f}');
    character.is_control() || hidden
}

/// Prints the output of one of lclaude's own commands to stdout. A closed pipe is not an error.
pub(crate) fn print(text: &str) {
    let mut stdout = io::stdout();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
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

/// Asks for a line and returns it trimmed, or `None` at the end of the input.
pub(crate) fn ask(question: &str) -> Option<String> {
    let _ = write!(io::stderr(), "{} ", escape(question));
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer).ok()?;
    (read > 0).then(|| answer.trim().to_owned())
}

/// Asks a yes/no question. Without a terminal the answer is no.
pub(crate) fn confirm(question: &str) -> bool {
    let answer = if can_ask() { ask(&format!("{question} [y/N]")) } else { None };
    answer.is_some_and(|answer| matches!(answer.to_lowercase().as_str(), "y" | "yes"))
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
        let percent =
            fraction.map(|fraction| format!(" {:.0}% {}", fraction * 100.0, draw_bar(fraction))).unwrap_or_default();
        let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
        if io::stderr().is_terminal() {
            self.bar.get_or_insert_with(start_live_line).set_message(format!("{stage}{percent}{detail}"));
        } else if self.stage != stage {
            message(format_args!("lclaude: {stage}{detail}"));
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

fn draw_bar(fraction: f32) -> String {
    const WIDTH: usize = 12;
    let full = ((fraction.clamp(0.0, 1.0) * WIDTH as f32) as usize).min(WIDTH);
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
