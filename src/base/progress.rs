//! Progress while a backend starts.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::{
    text::{for_people, one_line},
    ui::{is_quiet, message},
};

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
    use crate::base::text::is_unsafe;

    #[test]
    fn live_line_is_clean() {
        assert_eq!(progress_text("loading", Some(0.5), "x\ty"), "loading 50% ██████░░░░░░ (x\\ty)");
        let foreign = "\x1b[31m\x1b]52;c;eA==\x07\r\u{202e}\n";
        assert!(!progress_text(foreign, Some(0.5), foreign).chars().any(is_unsafe));
    }
}
