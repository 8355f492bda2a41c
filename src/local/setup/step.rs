//! A step of the setup as data: what was found, and what there is to do. Nothing happens here.

use std::fmt;

use crate::{base::error::Failure, config::Edit};

/// How many there are.
const STEPS: usize = 5;
/// What stands before every line of a step.
pub const INDENT: &str = "    ";

pub struct Step {
    pub title: &'static str,
    pub found: Vec<String>,
    pub actions: Vec<Action>,
}

pub enum Action {
    Install(Install),
    /// Models, and how much they are, where that is known.
    Download(Vec<String>, Option<String>),
    Write(Edit),
    /// What proves that it works, in words.
    Verify(Vec<String>),
}

/// A program that is missing.
pub struct Install {
    pub what: &'static str,
    /// Command lines, any of which will do, the best first.
    pub ways: Vec<String>,
    /// That it is missing, and what to do by hand.
    pub missing: Failure,
}

impl Step {
    pub fn needs_a_yes(&self) -> bool {
        self.actions.iter().any(|action| match action {
            Action::Install(_) | Action::Download(..) => true,
            Action::Write(edit) => edit.changes,
            Action::Verify(_) => false,
        })
    }

    /// The step without what it will do.
    pub fn heading(&self, number: usize) -> String {
        let done = if self.actions.is_empty() { ": already there" } else { "" };
        let found = self.found.iter().map(|line| format!("\n{}", indented(line))).collect::<String>();
        format!("{number}/{STEPS} {}{done}{found}", self.title)
    }

    /// The whole step.
    pub fn in_full(&self, number: usize) -> String {
        let actions = self.actions.iter().map(|action| format!("\n{}", indented(action))).collect::<String>();
        self.heading(number) + &actions
    }
}

/// Words under a step's title.
pub fn indented(words: impl fmt::Display) -> String {
    let lines = words.to_string().lines().map(|line| format!("{INDENT}{line}")).collect::<Vec<_>>();
    lines.join("\n")
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Install(Install { what, ways, missing }) => {
                let (first, others) = match &ways[..] {
                    [] => return write!(f, "to install {what} by hand:\n  {}", missing.help.join("\n  ")),
                    [first, others @ ..] => (first, others),
                };
                write!(f, "to install {what}, to be run if you say yes:\n  {first}")?;
                others.iter().try_for_each(|way| write!(f, "\n  or {way}"))
            }
            Action::Download(models, size) => {
                let size = size.as_ref().map(|size| format!(" ({size})")).unwrap_or_default();
                write!(f, "to be downloaded if you say yes: {}{size}", models.join(" and "))
            }
            Action::Write(edit) => edit.fmt(f),
            Action::Verify(words) => write!(f, "to be done:\n  {}", words.join("\n  ")),
        }
    }
}
