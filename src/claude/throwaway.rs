//! A throwaway home: an empty configuration directory for one session, so that the user's own history, settings, memory
//! and login are neither read nor written.
//!
//! Only what the user has answered before is carried over, and only what concerns looks and this folder; nothing is ever
//! answered in their place. As seen with Claude Code 2.1.331, which asks again where an answer is missing.
//!
//! The home is in the session's private directory, so it goes when that goes, however the session ends; a kept one is in
//! the state directory.

use crate::base::environment::Environment;
use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde_json::{Map, Value, json};

use super::variables::{self, Table};
use crate::{
    base::{
        disk,
        error::{Code, Failure, Result},
    },
    config::Settings,
};

/// The answers about a folder that are carried over, as Claude Code calls them; each but the first only where that was
/// yes.
const TRUST: &str = "hasTrustDialogAccepted";
const ANSWERS: &[&str] = &[
    TRUST,
    "hasClaudeMdExternalIncludesApproved",
    "hasClaudeMdExternalIncludesWarningShown",
    "enabledMcpjsonServers",
    "disabledMcpjsonServers",
];

/// What such a home is made of.
#[derive(Debug)]
pub struct Throwaway {
    /// Where it is to stay, for one that is kept.
    kept: Option<PathBuf>,
    /// Claude Code's `.claude.json`.
    answers: Value,
    /// A theme of the user's own making: its file's name and content.
    theme: Option<(String, String)>,
    /// Patterns of the user's own memory, which Claude Code would take for a project's in any folder below the home
    /// directory.
    not_memory: Vec<String>,
}

impl Throwaway {
    /// # Errors
    /// As [`Throwaway::plan`].
    pub fn if_wanted(settings: &Settings, environment: &Environment) -> Result<Option<Self>> {
        settings.throwaway.unwrap_or(false).then(|| Throwaway::plan(settings, environment)).transpose()
    }

    /// # Errors
    /// When the `.claude` of the folder, or of one above it, is the user's own.
    pub fn plan(settings: &Settings, environment: &Environment) -> Result<Self> {
        let (home, here) = (environment.home(), environment.working_dir()?);
        let own = config_dir(environment);
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let all = [own.clone(), home.join(".claude")];
        let is_own = |dir: &PathBuf| all.iter().any(|own| real(dir) == real(own));
        if let Some(dir) = projects(here, &real(home)).map(|folder| folder.join(".claude")).find(is_own) {
            let source = settings.source("throwaway");
            return Err(Failure::new(source.code(), format!("no throwaway session in {}", here.display()))
                .why(format!(
                    "{} is your own, with your settings and memory, and would be used as a project's",
                    dir.display()
                ))
                .help("cd to a project's directory, or lclaude --throwaway=false"));
        }
        let asked = read(&answers_file(environment));
        let chosen = read(&own.join("settings.json"));
        // Where it is kept now, and where it was.
        let theme = chosen["theme"].as_str().or(asked["theme"].as_str()).map(str::to_owned);
        let mut patterns: Vec<PathBuf> = all.iter().flat_map(|dir| [dir.clone(), real(dir)]).collect();
        patterns.sort();
        patterns.dedup();
        Ok(Throwaway {
            kept: None,
            answers: answers(&asked, theme.as_deref(), &folders(here)),
            theme: theme.and_then(|theme| custom(&theme, &own)),
            not_memory: patterns.iter().map(|dir| format!("{}/**", literal(&dir.to_string_lossy()))).collect(),
        })
    }

    /// Has it stay, below the state directory.
    pub fn keep(&mut self, state: &Path) {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace(':', "-");
        self.kept = Some(state.join("throwaway").join(format!("{now}-{}", std::process::id())));
    }

    /// Where it stays, if it does.
    pub fn kept(&self) -> Option<&Path> {
        self.kept.as_deref()
    }

    fn home(&self, scratch: &Path) -> PathBuf {
        self.kept.clone().unwrap_or_else(|| scratch.join("claude"))
    }

    /// What has Claude Code live there. Its temporary files are in `scratch` in any case.
    pub fn variables(&self, scratch: &Path) -> Table {
        variables::throwaway(&self.home(scratch), &scratch.join("tmp"))
    }

    /// What only settings can say.
    pub fn settings(&self) -> Value {
        json!({
            "claudeMdExcludes": self.not_memory,
            // It would write to the user's ~/.local/share/applications.
            "disableDeepLinkRegistration": "disable",
        })
    }

    /// What is carried over, for people.
    pub fn carried(&self) -> String {
        let theme = self.answers.get("theme").and_then(Value::as_str);
        let trusted = self.answers["projects"].as_object().is_some_and(|folders| !folders.is_empty());
        match (theme.map(|theme| format!("the theme {theme}")), trusted.then_some("this folder's trust")) {
            (Some(theme), Some(trust)) => format!("{theme} and {trust}"),
            (Some(theme), None) => theme,
            (None, Some(trust)) => trust.to_owned(),
            (None, None) => "nothing".to_owned(),
        }
    }

    /// Makes it.
    ///
    /// # Errors
    /// `Config` when it cannot be made.
    pub fn make(&self, scratch: &Path) -> Result<()> {
        let home = self.home(scratch);
        self.fill(&home, &scratch.join("tmp")).map_err(|error| {
            Failure::new(Code::Config, format!("the throwaway home {} cannot be made", home.display()))
                .why(error)
                .help(format!("df -h {}", home.parent().unwrap_or(&home).display()))
        })
    }

    fn fill(&self, home: &Path, tmp: &Path) -> io::Result<()> {
        let mut private = fs::DirBuilder::new();
        private.mode(0o700);
        if let Some(parent) = home.parent() {
            disk::make_dir(parent)?;
        }
        private.create(home)?;
        private.create(tmp)?;
        disk::write_private(&home.join(".claude.json"), &serde_json::to_vec(&self.answers)?)?;
        if let Some((name, content)) = &self.theme {
            private.create(home.join("themes"))?;
            fs::write(home.join("themes").join(name), content)?;
        }
        Ok(())
    }
}

/// Where the user's own configuration is.
pub fn config_dir(environment: &Environment) -> PathBuf {
    set_config_dir(environment).unwrap_or_else(|| environment.home().join(".claude"))
}

fn set_config_dir(environment: &Environment) -> Option<PathBuf> {
    environment.variables.path("CLAUDE_CONFIG_DIR")
}

/// Where Claude Code remembers what the user has answered: beside `~/.claude`, but inside another directory.
pub fn answers_file(environment: &Environment) -> PathBuf {
    set_config_dir(environment).unwrap_or_else(|| environment.home().to_owned()).join(".claude.json")
}

/// A file that is missing or broken has no answers; Claude Code then asks.
fn read(file: &Path) -> Value {
    disk::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// `.claude.json` for the throwaway, from the user's own.
fn answers(asked: &Value, theme: Option<&str>, folders: &[PathBuf]) -> Value {
    let mut projects = Map::new();
    for folder in folders {
        let Some(name) = folder.to_str() else {
            continue;
        };
        let said = &asked["projects"][name];
        if said[TRUST] != true {
            continue;
        }
        let carried = ANSWERS.iter().filter_map(|key| Some(((*key).to_owned(), said.get(*key)?.clone())));
        projects.insert(name.to_owned(), Value::Object(carried.collect()));
    }
    // The tour of a first start: a choice of theme and a few notes, no question that anything depends on.
    let mut answers = json!({"hasCompletedOnboarding": true, "projects": projects});
    if let Some(theme) = theme {
        answers["theme"] = theme.into();
    }
    answers
}

/// The folders whose `.claude` Claude Code takes for a project's: this one, and those above it up to the root of its
/// repository, but for the home directory's (seen with agents).
fn projects<'a>(here: &'a Path, home: &Path) -> impl Iterator<Item = &'a Path> {
    std::iter::successors(Some(here), move |folder| {
        let is_root = folder.join(".git").symlink_metadata().is_ok();
        folder.parent().filter(|parent| !is_root && *parent != home)
    })
}

/// The folders whose trust may be this one's: itself, those above it, and the repository that it is a worktree of. Which of
/// them count is left to Claude Code.
fn folders(here: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = here.ancestors().map(Path::to_owned).collect();
    folders.extend(here.ancestors().find_map(main_worktree));
    folders
}

/// The repository that `folder` is another worktree of (gitrepository-layout(5)).
fn main_worktree(folder: &Path) -> Option<PathBuf> {
    let link = disk::read_to_string(&folder.join(".git")).ok()?;
    let own = folder.join(link.strip_prefix("gitdir:")?.trim());
    let common = own.join(disk::read_to_string(&own.join("commondir")).ok()?.trim()).canonicalize().ok()?;
    Some(common.parent()?.to_owned())
}

/// The file of a theme that the user has made.
fn custom(theme: &str, own: &Path) -> Option<(String, String)> {
    let name = format!("{}.json", theme.strip_prefix("custom:")?);
    let is_plain = Path::new(&name).file_name().is_some_and(|file| *file == *name);
    let content = is_plain.then(|| disk::read_to_string(&own.join("themes").join(&name)).ok())??;
    Some((name, content))
}

/// A path as a pattern that fits only itself.
fn literal(path: &str) -> String {
    let special = |c: char| "*?[]{}()!+@|\\".contains(c);
    path.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(asked: &Value) -> Value {
        answers(asked, None, &["/w/p".into(), "/w".into()])["projects"].clone()
    }

    #[test]
    fn trust_is_carried_over_and_never_invented() {
        let yes = json!({"hasTrustDialogAccepted": true});
        assert_eq!(carried(&json!({"projects": {"/w/p": yes, "/else": yes}})), json!({"/w/p": yes}));
        assert_eq!(carried(&json!({"projects": {"/w": yes}})), json!({"/w": yes}));
        for no in [json!(false), json!("true"), json!(1), json!(null)] {
            assert_eq!(carried(&json!({"projects": {"/w/p": {"hasTrustDialogAccepted": no}}})), json!({}));
        }
        assert_eq!(carried(&json!({"projects": {"/w/p": {}}})), json!({}));
        assert_eq!(carried(&json!("broken")), json!({}));
    }

    #[test]
    fn of_a_folder_only_its_answers_are_carried_over() {
        let asked = json!({"mcpServers": {"x": {}}, "oauthAccount": {}, "projects": {"/w/p": {
            "hasTrustDialogAccepted": true, "disabledMcpjsonServers": ["d"], "allowedTools": ["Bash"], "history": ["h"],
            "mcpServers": {"y": {}}, "lastSessionId": "s",
        }}});
        let folder = json!({"hasTrustDialogAccepted": true, "disabledMcpjsonServers": ["d"]});
        let expected = json!({"hasCompletedOnboarding": true, "projects": {"/w/p": folder}, "theme": "light"});
        assert_eq!(answers(&asked, Some("light"), &["/w/p".into()]), expected);
    }

    #[test]
    fn a_worktree_has_its_repositorys_trust() {
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
    fn a_theme_of_the_users_own_is_a_plain_name() {
        let own = tempfile::tempdir().expect("a directory");
        fs::create_dir(own.path().join("themes")).expect("a directory");
        fs::write(own.path().join("themes/mine.json"), "{}").expect("a file");
        fs::write(own.path().join("secret.json"), "s").expect("a file");
        assert_eq!(custom("custom:mine", own.path()), Some(("mine.json".into(), "{}".into())));
        assert_eq!(custom("custom:../secret", own.path()), None);
        assert_eq!(custom("dark", own.path()), None);
    }

    #[test]
    fn a_path_with_special_characters_fits_itself() {
        assert_eq!(literal("/home/a[b]{c}*"), r"/home/a\[b\]\{c\}\*");
    }
}
