//! What `lclaude local doctor --live` found, kept so that a later start of the same can warn at once.
//!
//! "The same" is the backend's program, the models with their files, and Claude Code's program, each with the time it was
//! last changed, and the context that is asked for: an upgrade makes another one, and nothing has to be run to notice. A
//! session only reads the file, and reads it once.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{
    backend::{BackendPlan, Service, registry},
    base::{
        disk,
        error::{Code, Failure, Result},
    },
};

const FILE: &str = "verdicts.json";
/// The oldest goes first.
const MOST: usize = 50;

/// What was proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    /// Program or URL.
    backend: String,
    backend_changed: u64,
    models: Vec<String>,
    /// Where each is a file of the user's.
    files: Vec<(PathBuf, u64)>,
    context: u32,
    claude: PathBuf,
    claude_changed: u64,
}

impl Proven {
    pub fn of(backend: &BackendPlan, claude: &Path) -> Self {
        let program = match &backend.service {
            Service::Program(program) => program.path.clone(),
            Service::Managed { program, .. } => program.clone(),
            Service::Running(url) => url.into(),
        };
        let claude = claude.canonicalize().unwrap_or_else(|_| claude.to_owned());
        Proven {
            backend_changed: changed(&program),
            backend: program.display().to_string(),
            models: backend.models.clone(),
            files: {
                let files = registry::backend(backend.kind).files(backend).into_iter();
                files.map(|file| (file.clone(), changed(&file))).collect()
            },
            context: backend.context,
            claude_changed: changed(&claude),
            claude,
        }
    }
}

/// Seconds since the epoch; 0 for what is no file.
fn changed(file: &Path) -> u64 {
    let changed = fs::metadata(file).and_then(|meta| meta.modified()).ok();
    changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |age| age.as_secs())
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verdict {
    subject: Proven,
    /// Claude Code's, for people.
    version: Option<String>,
    /// As in 2026-11-23.
    pub date: String,
    /// What failed, in words.
    pub complaints: Vec<String>,
}

impl Verdict {
    pub fn new(subject: Proven, version: Option<String>, complaints: Vec<String>) -> Self {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let date = now.split('T').next().unwrap_or_default().to_owned();
        Verdict { subject, version, date, complaints }
    }

    /// The line that a session begins with, if there is anything to complain of.
    pub fn warning(&self) -> Option<String> {
        let first = self.complaints.first()?;
        let more = match self.complaints.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        Some(format!(
            "warning: doctor found on {} that {first}{more}; lclaude local doctor --live looks again",
            self.date
        ))
    }
}

/// All verdicts, the newest last.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Verdicts(Vec<Verdict>);

impl Verdicts {
    /// None at all from a file that is missing or damaged: it is a help, and no session depends on it.
    pub fn read(state: &Path) -> Self {
        disk::read(&state.join(FILE)).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    pub fn of(&self, subject: &Proven) -> Option<&Verdict> {
        self.0.iter().find(|verdict| verdict.subject == *subject)
    }

    /// Keeps one, in place of an older one of the same.
    ///
    /// # Errors
    /// `Config` when it cannot be written.
    pub fn add(state: &Path, verdict: Verdict) -> Result<()> {
        let Verdicts(mut verdicts) = Self::read(state);
        verdicts.retain(|known| known.subject != verdict.subject);
        verdicts.push(verdict);
        let surplus = verdicts.len().saturating_sub(MOST);
        verdicts.drain(..surplus);
        let file = state.join(FILE);
        let text = serde_json::to_vec(&Verdicts(verdicts)).expect("plain data");
        // A session may read it meanwhile.
        disk::make_dir(state).and_then(|()| disk::replace(&file, &text)).map_err(|error| {
            Failure::new(Code::Config, format!("{} cannot be written", file.display()))
                .why(error)
                .help(format!("ls -ld {}", state.display()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proven(model: usize) -> Proven {
        let (backend, claude) = ("/bin/server".into(), "/bin/claude".into());
        let models = vec![model.to_string()];
        Proven { backend, backend_changed: 1, models, files: Vec::new(), context: 1, claude, claude_changed: 1 }
    }

    #[test]
    fn a_new_verdict_takes_the_place_of_the_old_one_and_the_oldest_goes() {
        let state = tempfile::tempdir().expect("a directory");
        let add = |model: usize, complaint: &str| {
            let verdict = Verdict::new(proven(model), None, vec![complaint.to_owned()]);
            Verdicts::add(state.path(), verdict).expect("it can be written");
        };
        add(1, "first");
        add(1, "second");
        let complaints = |model| Verdicts::read(state.path()).of(&proven(model)).map(|found| found.complaints.clone());
        assert_eq!(complaints(1), Some(vec!["second".to_owned()]));
        (2..=MOST + 1).for_each(|model| add(model, "later"));
        assert_eq!((complaints(1), complaints(2).is_some()), (None, true));
        assert_eq!(Verdicts::read(state.path()).0.len(), MOST);
    }

    #[test]
    fn a_warning_names_the_day_and_the_first_complaint() {
        let verdict = |complaints: &[&str]| {
            let complaints = complaints.iter().map(|&complaint| complaint.to_owned()).collect();
            Verdict { date: "2026-11-23".into(), ..Verdict::new(proven(1), None, complaints) }.warning()
        };
        assert_eq!(verdict(&[]), None);
        let warning = verdict(&["m cannot call tools", "more"]).expect("a warning");
        let start = "warning: doctor found on 2026-11-23 that m cannot call tools (and 1 more); ";
        assert!(warning.starts_with(start), "{warning}");
    }
}
