//! `lclaude local doctor --privacy`: where requests go, what is switched off in Claude Code, and what stays on the disk,
//! each with a command that shows it. Starts nothing.
//!
//! What is switched off comes from the tables that sessions use, so the report can't get out of date.

mod disk;
mod requests;
mod switched_off;

use super::{configuration, report};
use crate::{
    base::{
        check::{Area, Check, Severity},
        environment::Environment,
        error::Result,
        exit::Exit,
        ui,
    },
    cli::DoctorArguments,
};

/// The columns in which lines are kept where they can be broken.
const WIDTH: usize = 80;
/// The columns before what was found.
const INDENT: usize = 16;

/// Prints the report. Returns exit code 1 if the configuration has errors, so that nothing is known about sessions.
pub(crate) fn run(arguments: &DoctorArguments) -> Result<Exit> {
    let environment = Environment::read()?;
    let mut checks = Vec::new();
    let settings = configuration::check(&arguments.choice, &environment, &mut checks);
    checks.retain(|check| check.state == Severity::Failure);
    let is_throwaway = settings.throwaway == Some(true);
    checks.extend(requests::checks(settings, &environment, &arguments.choice));
    checks.extend(switched_off::checks(&environment, &arguments.choice));
    checks.extend(disk::checks(&environment, is_throwaway, &arguments.choice));
    if arguments.json {
        ui::print_json(&report::json(&checks));
    } else {
        ui::print(&text(&checks));
    }
    Ok(Exit::Code(checks.iter().any(|check| check.state == Severity::Failure).into()))
}

/// Returns the report as text: every line with the commands that show that it is so.
fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    let mut area: Option<Area> = None;
    for check in checks {
        if area.replace(check.area) != Some(check.area) {
            let gap = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}{}\n", check.area.title()));
        }
        let mark = match check.state {
            Severity::Ok => "",
            Severity::Warning => "warning: ",
            Severity::Failure => "error: ",
        };
        let cause = check.why.iter().map(|why| format!("; {why}")).collect::<String>();
        let found = wrap(&ui::for_people(&ui::one_line(format_args!("{mark}{}{cause}", check.found))));
        text.push_str(&format!("  {:1$}{found}\n", check.name, INDENT - 2));
        let label = if check.state == Severity::Failure { "help" } else { "check" };
        for help in &check.help {
            text.push_str(&format!("{:>2$}: {}\n", label, ui::one_line(help), INDENT - 2));
        }
    }
    text
}

/// Breaks a text between its words, where a line is full.
fn wrap(text: &str) -> String {
    let mut wrapped = String::new();
    let mut column = INDENT;
    for (at, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if at > 0 && column + 1 + length > WIDTH {
            wrapped.push_str(&format!("\n{:INDENT$}", ""));
            column = INDENT;
        } else if at > 0 {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(word);
        column += length;
    }
    wrapped
}
