//! The results of `lclaude local doctor --live`, stored so that later sessions can warn at their start.
//!
//! A result is stored under the backend's program, the model files and Claude Code's program, each with its
//! fingerprint, and the requested context, so an upgrade invalidates it. A session only reads the file, once.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use crate::{
    backend::{BackendPlan, Service, registry},
    base::{
        disk,
        error::{Code, Failure, Result},
        fingerprint::Fingerprint,
        ui,
    },
};

const FILE: &str = "verdicts.json";
/// Verdicts to keep; older ones are dropped.
const MAX_VERDICTS: usize = 50;

/// What a verdict is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VerdictKey {
    /// The program's path or the URL.
    backend: String,
    models: Vec<String>,
    /// Of Claude Code, the backend's program, and the models' files if they are the user's own.
    files: Vec<Fingerprint>,
    context: u32,
}

impl VerdictKey {
    pub(crate) fn of(backend: &BackendPlan, claude: &Path) -> Self {
        let (name, program) = match &backend.service {
            Service::Program(program) => (program.path.display().to_string(), Some(&program.path)),
            Service::Managed { program, .. } => (program.display().to_string(), Some(program)),
            Service::Running(url) => (url.clone(), None),
        };
        let models = registry::backend(backend.kind).files(backend);
        let files = std::iter::once(claude).chain(program.into_iter().chain(&models).map(PathBuf::as_path));
        VerdictKey {
            backend: name,
            models: backend.models.clone(),
            files: files.map(Fingerprint::of).collect(),
            context: backend.context,
        }
    }
}

/// The result of one run of `doctor --live`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Verdict {
    subject: VerdictKey,
    /// Claude Code's version, for display.
    version: Option<String>,
    /// The date, such as 2026-11-23.
    pub date: String,
    /// A sentence for each failed check.
    pub complaints: Vec<String>,
}

impl Verdict {
    pub(crate) fn new(subject: VerdictKey, version: Option<String>, complaints: Vec<String>) -> Self {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let date = now.split('T').next().unwrap_or_default().to_owned();
        Verdict { subject, version, date, complaints }
    }

    /// Returns the warning to print at the start of a session, or `None` if all checks passed.
    pub(crate) fn warning(&self) -> Option<String> {
        let first = self.complaints.first()?;
        let more = match self.complaints.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let found = ui::one_line(format_args!("warning: doctor found on {} that {first}{more}", self.date));
        Some(format!("{found}\n  help: lclaude local doctor --live"))
    }
}

/// All stored verdicts, newest last.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Verdicts(Vec<Verdict>);

impl Verdicts {
    /// Reads the stored verdicts. A missing or invalid file counts as empty, since no session depends on it.
    pub(crate) fn read(state: &Path) -> Self {
        disk::read(&state.join(FILE)).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Returns the verdict about `subject`, which is called only if there are any: it looks at several files.
    pub(crate) fn get(&self, subject: impl FnOnce() -> VerdictKey) -> Option<&Verdict> {
        if self.0.is_empty() {
            return None;
        }
        let subject = subject();
        self.0.iter().find(|verdict| verdict.subject == subject)
    }

    /// Stores a verdict, replacing an older one about the same subject.
    ///
    /// # Errors
    /// `Config` if the file can't be written.
    pub(crate) fn add(state: &Path, verdict: Verdict) -> Result<()> {
        let Verdicts(mut verdicts) = Self::read(state);
        verdicts.retain(|known| known.subject != verdict.subject);
        verdicts.push(verdict);
        let surplus = verdicts.len().saturating_sub(MAX_VERDICTS);
        verdicts.drain(..surplus);
        let file = state.join(FILE);
        let text = serde_json::to_vec(&Verdicts(verdicts)).expect("plain data");
        // Replaced atomically, because a session may be reading it.
        disk::create_private_dir(state).and_then(|()| disk::replace(&file, &text)).map_err(|error| {
            Failure::new(Code::Config, format!("{} cannot be written", file.display()))
                .cause(error)
                .help(format!("ls -ld {}", ui::quote_path(state)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(model: usize) -> VerdictKey {
        VerdictKey { backend: "/bin/server".into(), models: vec![model.to_string()], files: Vec::new(), context: 1 }
    }

    #[test]
    fn new_verdict_replaces_the_old_one_and_the_oldest_is_dropped() {
        let state = tempfile::tempdir().expect("a directory");
        let add = |model: usize, complaint: &str| {
            let verdict = Verdict::new(key(model), None, vec![complaint.to_owned()]);
            Verdicts::add(state.path(), verdict).expect("it can be written");
        };
        add(1, "first");
        add(1, "second");
        let complaints = |model| Verdicts::read(state.path()).get(|| key(model)).map(|found| found.complaints.clone());
        assert_eq!(complaints(1), Some(vec!["second".to_owned()]));
        (2..=MAX_VERDICTS + 1).for_each(|model| add(model, "later"));
        assert_eq!((complaints(1), complaints(2).is_some()), (None, true));
        assert_eq!(Verdicts::read(state.path()).0.len(), MAX_VERDICTS);
    }

    #[test]
    fn warning_has_the_date_and_the_first_complaint() {
        let verdict = |complaints: &[&str]| {
            let complaints = complaints.iter().map(|&complaint| complaint.to_owned()).collect();
            Verdict { date: "2026-11-23".into(), ..Verdict::new(key(1), None, complaints) }.warning()
        };
        assert_eq!(verdict(&[]), None);
        let warning = verdict(&["m cannot call tools", "more"]).expect("a warning");
        let start = "warning: doctor found on 2026-11-23 that m cannot call tools (and 1 more)\n";
        assert!(warning.starts_with(start), "{warning}");
    }
}
