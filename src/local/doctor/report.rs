//! The report as text and as JSON.

use serde::Serialize;

use crate::base::{
    check::{Check, Severity},
    ui,
};

/// The version of the `--json` format. Fields may be added without a new version, but not removed or redefined.
const FORMAT: u32 = 1;

/// The object that `--json` prints.
#[derive(Serialize)]
struct DoctorReport<'a> {
    format: u32,
    lclaude: &'static str,
    /// Whether no check failed, as in the exit code.
    ok: bool,
    warnings: usize,
    failures: usize,
    checks: &'a [Check],
}

fn count(checks: &[Check], state: Severity) -> usize {
    checks.iter().filter(|check| check.state == state).count()
}

pub(crate) fn json(checks: &[Check]) -> String {
    let (warnings, failures) = (count(checks, Severity::Warning), count(checks, Severity::Failure));
    let lclaude = env!("CARGO_PKG_VERSION");
    let report = DoctorReport { format: FORMAT, lclaude, ok: failures == 0, warnings, failures, checks };
    serde_json::to_string_pretty(&report).expect("checks are plain data") + "\n"
}

/// Prints the report as text.
pub(crate) fn print(checks: &[Check]) {
    ui::print_report(&text(checks));
}

/// Returns the report, in which everything foreign is clean.
fn text(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut area = None;
    for check in checks {
        if area.replace(check.area) != Some(check.area) {
            let gap = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}{}:\n", check.area.title()));
        }
        text.push_str(&format!(
            "  {}  {:width$}  {}\n",
            state_label(check.state),
            check.name,
            ui::one_line(&check.found)
        ));
        let mut add_line = |label: &str, line: String| text.push_str(&format!("       {label:>5}: {line}\n"));
        if let Some(why) = &check.why {
            add_line("cause", ui::one_line(why));
        }
        check.log.iter().for_each(|line| add_line("log", ui::log_line(line)));
        check.help.iter().for_each(|help| add_line("help", ui::one_line(help)));
    }
    text + "\n" + &summary(checks)
}

/// Returns the state padded to a common width.
fn state_label(state: Severity) -> &'static str {
    match state {
        Severity::Ok => "ok     ",
        Severity::Warning => "warning",
        Severity::Failure => "FAILURE",
    }
}

fn summary(checks: &[Check]) -> String {
    let counted = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    format!(
        "{}: {}, {}\n",
        counted(checks.len(), "check"),
        counted(count(checks, Severity::Failure), "failure"),
        counted(count(checks, Severity::Warning), "warning")
    )
}
