//! What lclaude itself says, always on stderr: stdout is Claude Code's.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    time::Duration,
};

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

/// One line to the user. A terminal that has gone is no reason to fail.
pub fn say(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{}", harmless(&line.to_string()));
}

/// What a terminal would obey or no eye could see, spelt out: file names and the words of a project's file can have it.
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => shown.push(character),
            _ if misleads(character) => shown.extend(character.escape_unicode()),
            _ => shown.push(character),
        }
    }
    shown
}

/// Whether a terminal would obey it, hide it, or turn the text around it.
pub fn misleads(character: char) -> bool {
    let hidden = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{ad}' | '\u{61c}' | '\u{e0000}'..='\u{e007f}');
    character.is_control() || hidden
}

/// A whole text on stdout, for what is lclaude's own to print. A reader that has had enough is no failure.
pub fn print(text: &str) {
    let mut stdout = io::stdout();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Bytes as people read them.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        1_000_000_000..1_000_000_000_000 => format!("{:.1} GB", bytes as f64 / 1e9),
        _ => format!("{:.1} TB", bytes as f64 / 1e12),
    }
}

/// A command as one could type it.
pub fn command_line(words: impl Iterator<Item = String>) -> String {
    let quoted = |word: String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%{}".contains(c);
        if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

/// A path as a shell reads it.
pub fn quoted(path: &Path) -> String {
    command_line(std::iter::once(path.display().to_string()))
}

/// Whether there is somebody to ask.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a line, which is given without the spaces around it. `None` when the input ends.
pub fn ask(question: &str) -> Option<String> {
    let _ = write!(io::stderr(), "{} ", harmless(question));
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer).ok()?;
    (read > 0).then(|| answer.trim().to_owned())
}

/// Asks a question that yes or no answers; without a terminal to ask on, the answer is no.
pub fn agrees(question: &str) -> bool {
    let answer = if can_ask() { ask(&format!("{question} [y/N]")) } else { None };
    answer.is_some_and(|answer| matches!(answer.to_lowercase().as_str(), "y" | "yes"))
}

/// The wait for a backend: on a terminal one live line that vanishes, else a plain line a stage.
pub struct Waiting {
    bar: Option<ProgressBar>,
    stage: String,
}

impl Waiting {
    pub fn new() -> Self {
        Waiting { bar: None, stage: String::new() }
    }

    /// Shows a stage; `fraction` from 0 to 1 where it is known.
    pub fn show(&mut self, stage: &str, fraction: Option<f32>, detail: &str) {
        let percent =
            fraction.map(|fraction| format!(" {:.0}% {}", fraction * 100.0, bar(fraction))).unwrap_or_default();
        let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
        if io::stderr().is_terminal() {
            self.bar.get_or_insert_with(live_line).set_message(format!("{stage}{percent}{detail}"));
        } else if self.stage != stage {
            say(format_args!("lclaude: {stage}{detail}"));
        }
        stage.clone_into(&mut self.stage);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A fraction, drawn.
fn bar(fraction: f32) -> String {
    const WIDTH: usize = 12;
    let full = ((fraction.clamp(0.0, 1.0) * WIDTH as f32) as usize).min(WIDTH);
    format!("{}{}", "█".repeat(full), "░".repeat(WIDTH - full))
}

fn live_line() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} lclaude: {wide_msg} {elapsed}").expect("our own template");
    let target = ProgressDrawTarget::term_like(Box::new(Narrow(Term::buffered_stderr())));
    let bar = ProgressBar::with_draw_target(None, target).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// A terminal that says it is narrower than it is. What is typed during the wait is echoed at the end of the live line,
/// which indicatif fills to the last column: from there it would go on in the next line, and only that would be cleared.
#[derive(Debug)]
struct Narrow(Term);

/// Room for what is typed between two redrawings.
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
