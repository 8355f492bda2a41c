//! One check: what was looked at, what was found, and what repairs it.

use serde::Serialize;

use super::error::Failure;

/// In the order of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Area {
    Configuration,
    Claude,
    Backends,
    Machine,
    Live,
    /// Where requests go.
    Requests,
    /// What is switched off.
    Off,
    /// What stays on the disk.
    Disk,
}

impl Area {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Area::Configuration => "Configuration",
            Area::Claude => "Claude Code",
            Area::Backends => "Backends",
            Area::Machine => "Machine",
            Area::Live => "Live",
            Area::Requests => "Where requests go",
            Area::Off => "What is switched off in Claude Code",
            Area::Disk => "What stays on this disk",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Ok,
    /// It works, and not as it could.
    Warning,
    /// A session would fail, or be of no use.
    Failure,
}

/// No secret may be put into it: it is printed, and kept as a verdict.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    pub area: Area,
    /// Together with the area unique, and the same in every release.
    pub name: &'static str,
    pub state: Severity,
    pub found: String,
    pub why: Option<String>,
    /// The last lines of a log, oldest first.
    pub log: Vec<String>,
    /// The commands that mend it, the best first.
    pub help: Vec<String>,
}

impl Check {
    fn new(area: Area, name: &'static str, state: Severity, found: impl Into<String>) -> Self {
        Check { area, name, state, found: found.into(), why: None, log: Vec::new(), help: Vec::new() }
    }

    pub(crate) fn ok(area: Area, name: &'static str, found: impl Into<String>) -> Self {
        Self::new(area, name, Severity::Ok, found)
    }

    pub(crate) fn warning(area: Area, name: &'static str, found: impl Into<String>) -> Self {
        Self::new(area, name, Severity::Warning, found)
    }

    pub(crate) fn failure(area: Area, name: &'static str, found: impl Into<String>) -> Self {
        Self::new(area, name, Severity::Failure, found)
    }

    /// What a session would end with.
    pub(crate) fn failed(area: Area, name: &'static str, failure: &Failure) -> Self {
        let Failure { what, why, log_tail, help, .. } = failure.clone();
        Check { why, log: log_tail, help, ..Self::failure(area, name, what) }
    }

    /// The outcome of the very function a session calls.
    pub(crate) fn of<T>(
        area: Area,
        name: &'static str,
        outcome: Result<T, Failure>,
        found: impl FnOnce(T) -> String,
    ) -> Self {
        match outcome {
            Ok(value) => Self::ok(area, name, found(value)),
            Err(failure) => Self::failed(area, name, &failure),
        }
    }

    pub(crate) fn cause(self, why: impl Into<String>) -> Self {
        Check { why: Some(why.into()), ..self }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    pub(crate) fn helps(self, helps: impl IntoIterator<Item = impl Into<String>>) -> Self {
        helps.into_iter().fold(self, Check::help)
    }

    /// The same with every text passed through `change`.
    pub(crate) fn map_text(self, change: impl Fn(String) -> String) -> Self {
        let Check { area, name, state, found, why, log, help } = self;
        let all = |lines: Vec<String>| lines.into_iter().map(&change).collect();
        Check { area, name, state, found: change(found), why: why.map(&change), log: all(log), help: all(help) }
    }

    /// The same where no session depends on it.
    pub(crate) fn no_worse_than(self, state: Severity) -> Self {
        Check { state: self.state.min(state), ..self }
    }
}
