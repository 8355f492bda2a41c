//! A setup step as data: what was found and what remains to be done. Nothing is carried out here.

use std::fmt;

use crate::{
    base::{error::Failure, ui},
    config::Edit,
};

/// The number of steps.
const STEPS: usize = 5;
/// The indentation of each line below a step's title.
pub(crate) const INDENT: &str = "    ";

pub(crate) struct Step {
    pub title: &'static str,
    pub found: Vec<String>,
    pub actions: Vec<Action>,
}

pub(crate) enum Action {
    Install(Install),
    /// The names of installed models to choose from.
    Choose(Vec<String>),
    /// Models, and their size if it is known.
    Download(Vec<String>, Option<String>),
    Write(Edit),
    /// Descriptions of the tests.
    Verify(Vec<String>),
}

/// How to install a missing program.
pub(crate) struct Install {
    pub what: &'static str,
    /// Alternative command lines, the best first.
    pub commands: Vec<String>,
    /// The failure that says it is missing and how to install it manually.
    pub missing: Failure,
}

impl Step {
    /// Returns whether an action may run only with the user's consent.
    pub(crate) fn needs_consent(&self) -> bool {
        self.actions.iter().any(|action| match action {
            Action::Install(_) | Action::Choose(_) | Action::Download(..) => true,
            Action::Write(edit) => edit.changes,
            Action::Verify(_) => false,
        })
    }

    /// Returns the title and what was found, without the actions.
    pub(crate) fn heading(&self, number: usize) -> String {
        let done = if self.actions.is_empty() { ": done" } else { "" };
        let gap = if self.found.is_empty() { "" } else { "\n" };
        format!("{number}/{STEPS} {}{done}{gap}{}", self.title, self.findings())
    }

    /// Returns what was found, one finding a line.
    pub(crate) fn findings(&self) -> String {
        indented(self.found.iter().map(ui::one_line).collect::<Vec<_>>().join("\n"))
    }

    /// Returns the whole step as text.
    pub(crate) fn describe(&self, number: usize) -> String {
        let actions = self.actions.iter().map(|action| format!("\n{}", indented(action))).collect::<String>();
        self.heading(number) + &actions
    }
}

/// Returns text indented below a step's title.
pub(crate) fn indented(text: impl fmt::Display) -> String {
    let lines = text.to_string().lines().map(|line| format!("{INDENT}{line}")).collect::<Vec<_>>();
    lines.join("\n")
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Install(Install { what, commands, missing }) => {
                let (first, others) = match &commands[..] {
                    [] => return write!(f, "install {what} manually:\n  {}", missing.help.join("\n  ")),
                    [first, others @ ..] => (first, others),
                };
                write!(f, "install {what} (asks first):\n  {first}")?;
                others.iter().try_for_each(|command| write!(f, "\n  or {command}"))
            }
            Action::Choose(models) => {
                write!(f, "choose (asks first) an installed model:\n  {}", ui::one_line(models.join(", ")))?;
                write!(f, "\n  or download the default")
            }
            Action::Download(models, size) => {
                let size = size.as_ref().map(|size| format!(" ({size})")).unwrap_or_default();
                write!(f, "download (asks first): {}{size}", ui::one_line(models.join(" and ")))
            }
            Action::Write(edit) => edit.fmt(f),
            Action::Verify(tests) => write!(f, "to do:\n  {}", tests.join("\n  ")),
        }
    }
}
