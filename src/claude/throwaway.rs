//! The throwaway home: an empty configuration directory for one session, so that the user's own history, settings,
//! memory and login are neither read nor written.
//!
//! Only the theme and the user's earlier answers about this folder are copied; lclaude never answers for the user.
//! Claude Code asks again if an answer is missing (seen in 2.1.331).
//!
//! The home is inside the session's private directory and removed with it, however the session ends. A kept home is in
//! the state directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde_json::{Map, Value, json};

use super::variables::{self, Table};
use crate::{
    base::{
        disk,
        environment::Environment,
        error::{Code, Failure, Result},
    },
    config::Settings,
};

/// The answer to Claude Code's trust dialog. A folder's answers are copied only if this one is true.
const TRUST: &str = "hasTrustDialogAccepted";
/// The answers about a folder that are copied, by their keys in `.claude.json`.
const ANSWERS: &[&str] = &[
    TRUST,
    "hasClaudeMdExternalIncludesApproved",
    "hasClaudeMdExternalIncludesWarningShown",
    "enabledMcpjsonServers",
    "disabledMcpjsonServers",
];

/// The content of a throwaway home.
#[derive(Debug)]
pub(crate) struct Throwaway {
    /// The directory of a kept home.
    kept: Option<PathBuf>,
    /// Claude Code's `.claude.json`.
    answers: Value,
    /// The file name and content of the user's custom theme.
    theme: Option<(String, String)>,
    /// Patterns of the user's own memory files, which Claude Code would use as project memory in any folder below the
    /// home directory.
    own_memory: Vec<String>,
    /// Whether npm has no cache in the home directory yet.
    has_no_npm_cache: bool,
}

impl Throwaway {
    /// Returns the plan of a throwaway home if the settings ask for one.
    ///
    /// # Errors
    /// Same as [`Throwaway::plan`].
    pub(crate) fn if_wanted(settings: &Settings, environment: &Environment) -> Result<Option<Self>> {
        settings.throwaway.unwrap_or(false).then(|| Throwaway::plan(settings, environment)).transpose()
    }

    /// Plans a throwaway home for a session in `here`.
    ///
    /// # Errors
    /// `Usage` or `Config`, by the source of the setting, if Claude Code would use the user's own `.claude` as the
    /// project's.
    pub(crate) fn plan(settings: &Settings, environment: &Environment) -> Result<Self> {
        let (home, here) = (environment.home(), environment.working_dir()?);
        let own = config_dir(environment);
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let own_dirs = [own.clone(), home.join(".claude")];
        let is_own = |dir: &PathBuf| own_dirs.iter().any(|own| real(dir) == real(own));
        if let Some(dir) = projects(here, &real(home)).map(|folder| folder.join(".claude")).find(is_own) {
            let source = settings.source("throwaway");
            return Err(Failure::new(source.code(), format!("cannot run a throwaway session in {}", here.display()))
                .cause(format!(
                    "{} contains your own settings and memory, and Claude Code would load them as the project's",
                    dir.display()
                ))
                .help("cd PROJECT && lclaude --throwaway")
                .help("lclaude --throwaway=false"));
        }
        let stored = read(&answers_file(environment));
        let chosen = read(&own.join("settings.json"));
        // Older versions stored the theme in `.claude.json`.
        let theme = chosen["theme"].as_str().or(stored["theme"].as_str()).map(str::to_owned);
        let mut patterns: Vec<PathBuf> = own_dirs.iter().flat_map(|dir| [dir.clone(), real(dir)]).collect();
        patterns.sort();
        patterns.dedup();
        Ok(Throwaway {
            kept: None,
            answers: answers(&stored, theme.as_deref(), &folders(here)),
            theme: theme.and_then(|theme| custom_theme(&theme, &own)),
            has_no_npm_cache: !home.join(".npm").exists(),
            own_memory: patterns.iter().map(|dir| format!("{}/**", escape_pattern(&dir.to_string_lossy()))).collect(),
        })
    }

    /// Keeps the home after the session, in a directory below `state`.
    pub(crate) fn keep(&mut self, state: &Path) {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace(':', "-");
        self.kept = Some(state.join("throwaway").join(format!("{now}-{}", std::process::id())));
    }

    /// Returns the directory of a kept home.
    pub(crate) fn kept(&self) -> Option<&Path> {
        self.kept.as_deref()
    }

    fn home(&self, scratch: &Path) -> PathBuf {
        self.kept.clone().unwrap_or_else(|| scratch.join("claude"))
    }

    /// Returns the variables that make Claude Code use this home. Temporary files are always in `scratch`.
    pub(crate) fn variables(&self, scratch: &Path) -> Table {
        let tmp = scratch.join("tmp");
        let mut table = variables::throwaway(&self.home(scratch), &tmp);
        if self.has_no_npm_cache {
            // Otherwise npm creates ~/.npm.
            table.insert("npm_config_cache".into(), tmp.join("npm").to_string_lossy().into_owned());
        }
        if self.kept.is_none() {
            // No transcript: Claude Code then says that the session can't be resumed, instead of how to do it.
            table.insert("CLAUDE_CODE_SKIP_PROMPT_HISTORY".into(), "1".into());
        }
        table
    }

    /// Returns the settings of a throwaway session that have no variable.
    pub(crate) fn settings(&self) -> Value {
        json!({
            "claudeMdExcludes": self.own_memory,
            // Deep link registration writes to the user's ~/.local/share/applications.
            "disableDeepLinkRegistration": "disable",
        })
    }

    /// Returns a phrase for what is copied into the home: "the theme dark and this folder's trust".
    pub(crate) fn carried(&self) -> String {
        let theme = self.answers.get("theme").and_then(Value::as_str);
        let trusted = self.answers["projects"].as_object().is_some_and(|folders| !folders.is_empty());
        match (theme.map(|theme| format!("the theme {theme}")), trusted.then_some("this folder's trust")) {
            (Some(theme), Some(trust)) => format!("{theme} and {trust}"),
            (Some(theme), None) => theme,
            (None, Some(trust)) => trust.to_owned(),
            (None, None) => "nothing".to_owned(),
        }
    }

    /// Creates the home and its files.
    ///
    /// # Errors
    /// `Config` if that fails.
    pub(crate) fn make(&self, scratch: &Path) -> Result<()> {
        let home = self.home(scratch);
        self.fill(&home, &scratch.join("tmp")).map_err(|error| {
            Failure::new(Code::Config, format!("cannot create the throwaway home {}", home.display()))
                .cause(error)
                .help(format!("df -h {}", home.parent().unwrap_or(&home).display()))
        })
    }

    fn fill(&self, home: &Path, tmp: &Path) -> io::Result<()> {
        let private = disk::private_dir();
        if let Some(parent) = home.parent() {
            disk::create_private_dir(parent)?;
        }
        private.create(home)?;
        private.create(tmp)?;
        disk::create_private(&home.join(".claude.json"), &serde_json::to_vec(&self.answers)?)?;
        if let Some((name, content)) = &self.theme {
            private.create(home.join("themes"))?;
            fs::write(home.join("themes").join(name), content)?;
        }
        Ok(())
    }
}

/// Returns the user's own configuration directory.
pub(crate) fn config_dir(environment: &Environment) -> PathBuf {
    set_config_dir(environment).unwrap_or_else(|| environment.home().join(".claude"))
}

fn set_config_dir(environment: &Environment) -> Option<PathBuf> {
    environment.variables.path("CLAUDE_CONFIG_DIR")
}

/// Returns the file with the user's earlier answers: in `CLAUDE_CONFIG_DIR`, or next to `~/.claude` if that is unset.
pub(crate) fn answers_file(environment: &Environment) -> PathBuf {
    set_config_dir(environment).unwrap_or_else(|| environment.home().to_owned()).join(".claude.json")
}

/// Returns the content of a JSON file, or null if it is missing or invalid. Claude Code then asks.
fn read(file: &Path) -> Value {
    disk::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Returns the home's `.claude.json`, from the user's own.
fn answers(stored: &Value, theme: Option<&str>, folders: &[PathBuf]) -> Value {
    let mut projects = Map::new();
    for folder in folders {
        let Some(name) = folder.to_str() else {
            continue;
        };
        let answers = &stored["projects"][name];
        if answers[TRUST] != true {
            continue;
        }
        let copied = ANSWERS.iter().filter_map(|key| Some(((*key).to_owned(), answers.get(*key)?.clone())));
        projects.insert(name.to_owned(), Value::Object(copied.collect()));
    }
    // Onboarding only asks for a theme and shows notes, so skipping it answers nothing of substance.
    let mut answers = json!({"hasCompletedOnboarding": true, "projects": projects});
    if let Some(theme) = theme {
        answers["theme"] = theme.into();
    }
    answers
}

/// Returns the folders whose `.claude` Claude Code reads as a project's: `here` and its parents up to the repository
/// root, stopping below the home directory (seen with agents).
fn projects<'a>(here: &'a Path, home: &Path) -> impl Iterator<Item = &'a Path> {
    std::iter::successors(Some(here), move |folder| {
        let is_root = folder.join(".git").symlink_metadata().is_ok();
        folder.parent().filter(|parent| !is_root && *parent != home)
    })
}

/// Returns the folders whose trust may apply to `here`: itself, its parents, and the main worktree of its repository.
/// Claude Code decides which of them count.
fn folders(here: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = here.ancestors().map(Path::to_owned).collect();
    folders.extend(here.ancestors().find_map(main_worktree));
    folders
}

/// Returns the main worktree of the linked worktree `folder` (gitrepository-layout(5)).
fn main_worktree(folder: &Path) -> Option<PathBuf> {
    let link = disk::read_to_string(&folder.join(".git")).ok()?;
    let git_dir = folder.join(link.strip_prefix("gitdir:")?.trim());
    let common = git_dir.join(disk::read_to_string(&git_dir.join("commondir")).ok()?.trim()).canonicalize().ok()?;
    Some(common.parent()?.to_owned())
}

/// Returns the file name and content of the user's custom theme, or `None` for a built-in theme.
fn custom_theme(theme: &str, own: &Path) -> Option<(String, String)> {
    let name = format!("{}.json", theme.strip_prefix("custom:")?);
    let is_plain = Path::new(&name).file_name().is_some_and(|file| *file == *name);
    let content = is_plain.then(|| disk::read_to_string(&own.join("themes").join(&name)).ok())??;
    Some((name, content))
}

/// Escapes a path as a glob pattern that matches only that path.
fn escape_pattern(path: &str) -> String {
    let special = |c: char| "*?[]{}()!+@|\\".contains(c);
    path.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied_projects(stored: &Value) -> Value {
        answers(stored, None, &["/w/p".into(), "/w".into()])["projects"].clone()
    }

    #[test]
    fn only_a_trusted_folder_is_copied() {
        let yes = json!({"hasTrustDialogAccepted": true});
        assert_eq!(copied_projects(&json!({"projects": {"/w/p": yes, "/else": yes}})), json!({"/w/p": yes}));
        assert_eq!(copied_projects(&json!({"projects": {"/w": yes}})), json!({"/w": yes}));
        for no in [json!(false), json!("true"), json!(1), json!(null)] {
            assert_eq!(copied_projects(&json!({"projects": {"/w/p": {"hasTrustDialogAccepted": no}}})), json!({}));
        }
        assert_eq!(copied_projects(&json!({"projects": {"/w/p": {}}})), json!({}));
        assert_eq!(copied_projects(&json!("broken")), json!({}));
    }

    #[test]
    fn only_answers_and_theme_are_copied() {
        let stored = json!({"mcpServers": {"x": {}}, "oauthAccount": {}, "projects": {"/w/p": {
            "hasTrustDialogAccepted": true, "disabledMcpjsonServers": ["d"], "allowedTools": ["Bash"], "history": ["h"],
            "mcpServers": {"y": {}}, "lastSessionId": "s",
        }}});
        let folder = json!({"hasTrustDialogAccepted": true, "disabledMcpjsonServers": ["d"]});
        let expected = json!({"hasCompletedOnboarding": true, "projects": {"/w/p": folder}, "theme": "light"});
        assert_eq!(answers(&stored, Some("light"), &["/w/p".into()]), expected);
    }

    #[test]
    fn worktree_includes_the_main_worktree() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path().canonicalize().expect("a path");
        fs::create_dir_all(root.join("main/.git/worktrees/w")).expect("directories");
        fs::create_dir_all(root.join("w/src")).expect("directories");
        fs::write(root.join("w/.git"), format!("gitdir: {}\n", root.join("main/.git/worktrees/w").display()))
            .expect("a file");
        fs::write(root.join("main/.git/worktrees/w/commondir"), "../..\n").expect("a file");
        assert!(folders(&root.join("w/src")).contains(&root.join("main")));
        assert!(!folders(&root.join("main")).contains(&root.join("w")));
    }

    #[test]
    fn custom_theme_must_be_a_plain_file_name() {
        let own = tempfile::tempdir().expect("a directory");
        fs::create_dir(own.path().join("themes")).expect("a directory");
        fs::write(own.path().join("themes/mine.json"), "{}").expect("a file");
        fs::write(own.path().join("secret.json"), "s").expect("a file");
        assert_eq!(custom_theme("custom:mine", own.path()), Some(("mine.json".into(), "{}".into())));
        assert_eq!(custom_theme("custom:../secret", own.path()), None);
        assert_eq!(custom_theme("dark", own.path()), None);
    }

    #[test]
    fn special_characters_in_paths_are_escaped() {
        assert_eq!(escape_pattern("/home/a[b]{c}*"), r"/home/a\[b\]\{c\}\*");
    }
}
