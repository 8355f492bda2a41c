//! The report, for people and for programs.

use crate::base::check::{Check, State};
use std::io::{self, IsTerminal};

use serde::Serialize;

use crate::base::ui;

/// The version of what `--json` prints. Fields may come to it; none changes its meaning or goes while this stays.
const FORMAT: u32 = 1;

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    format: u32,
    lclaude: &'static str,
    /// Whether nothing fails; the exit code says the same.
    ok: bool,
    warnings: usize,
    failures: usize,
    checks: &'a [Check],
}

fn count(checks: &[Check], state: State) -> usize {
    checks.iter().filter(|check| check.state == state).count()
}

pub fn json(checks: &[Check]) -> String {
    let (warnings, failures) = (count(checks, State::Warning), count(checks, State::Failure));
    let lclaude = env!("CARGO_PKG_VERSION");
    let report = Report { format: FORMAT, lclaude, ok: failures == 0, warnings, failures, checks };
    serde_json::to_string_pretty(&report).expect("checks are plain data") + "\n"
}

pub fn text(checks: &[Check]) -> String {
    let coloured = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut area = None;
    for check in checks {
        if area.replace(check.area) != Some(check.area) {
            let gap = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}{}\n", check.area.title()));
        }
        text.push_str(&format!(
            "  {}  {:width$}  {}\n",
            word(check.state, coloured),
            check.name,
            ui::harmless(&check.found)
        ));
        let mut under = |label: &str, words: &str| {
            let words = ui::harmless(words).replace('\n', "\n              ");
            text.push_str(&format!("       {label:>5}: {words}\n"));
        };
        if let Some(why) = &check.why {
            under("why", why);
        }
        check.log.iter().for_each(|line| under("log", line));
        check.help.iter().for_each(|help| under("help", help));
    }
    text + "\n" + &sum(checks)
}

/// All states at one width.
fn word(state: State, coloured: bool) -> String {
    let (word, colour) = match state {
        State::Ok => ("ok     ", 32),
        State::Warning => ("warning", 33),
        State::Failure => ("FAILURE", 31),
    };
    if coloured { format!("\x1b[{colour}m{word}\x1b[0m") } else { word.to_owned() }
}

fn sum(checks: &[Check]) -> String {
    let counted = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    format!(
        "{}: {}, {}\n",
        counted(checks.len(), "check"),
        counted(count(checks, State::Failure), "failure"),
        counted(count(checks, State::Warning), "warning")
    )
}
