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
    sync::OnceLock,
};

use console::Term;

pub(crate) use super::text::{
    MASKED, abbreviate_home, for_people, format_bytes, is_unsafe, log_line, one_line, quote_command, quote_path,
    shorten, single_quoted,
};
use super::text::{clean, clean_json, painted};

/// Completes the command in a help.
type Complete = dyn Fn(&str) -> String + Send + Sync;

static COMPLETE: OnceLock<Box<Complete>> = OnceLock::new();

/// Makes `complete` complete the command of every help that is printed for people, so that it does what the user typed.
pub(crate) fn complete_helps(complete: impl Fn(&str) -> String + Send + Sync + 'static) {
    let _ = COMPLETE.set(Box::new(complete));
}

/// Returns a text of several lines with the commands of its helps completed.
fn with_complete_helps(text: &str, complete: &Complete) -> String {
    let completed = text.split_inclusive('\n').map(|line| {
        let start = line.len() - line.trim_start().len();
        match line[start..].strip_prefix(HELP) {
            Some(help) => {
                let end = if help.ends_with('\n') { "\n" } else { "" };
                format!("{}{HELP}{}{end}", &line[..start], one_line(complete(help.trim_end())))
            }
            None => line.to_owned(),
        }
    });
    completed.collect()
}

/// Returns a text as people see it.
fn shown(text: &str) -> String {
    match COMPLETE.get() {
        Some(complete) => for_people(&with_complete_helps(text, complete)),
        None => for_people(text),
    }
}

/// What a help begins with, where it is printed.
const HELP: &str = "help: ";

/// Prints one line to stderr. A closed terminal is not an error.
pub(crate) fn message(line: impl std::fmt::Display) {
    message_lines(one_line(line));
}

/// Prints a text of several lines to stderr.
pub(crate) fn message_lines(text: impl std::fmt::Display) {
    // One write, so that another process can't print in between.
    let text = shown(&format!("{text}\n"));
    let _ = io::stderr().write_all(painted(&text, console::colors_enabled_stderr()).as_bytes());
}

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

/// Prints the output of one of lclaude's own commands to stdout, for people. A closed pipe is not an error.
pub(crate) fn print(text: &str) {
    let _ = write_stdout(shown(text).as_bytes());
}

/// Prints a report or a help text to stdout, with its headings and labels in color. See [`print()`].
pub(crate) fn print_report(text: &str) {
    let _ = write_stdout(report(text).as_bytes());
}

/// Returns a report or a help text as [`print_report`] prints it.
pub(crate) fn report(text: &str) -> String {
    painted(&shown(text), console::colors_enabled())
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

/// Writes to stdout what is clean already.
///
/// # Errors
/// `BrokenPipe` if nobody reads it any more.
pub(crate) fn write_stdout(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush())
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
    if read == 0 {
        // What is printed next belongs on a line of its own.
        message("");
        return None;
    }
    Some(answer.trim().to_owned())
}

/// Returns the number of columns of the terminal on stdout, or `None` if stdout goes elsewhere.
pub(crate) fn width() -> Option<usize> {
    let terminal = Term::stdout();
    terminal.is_term().then(|| usize::from(terminal.size().1))
}
