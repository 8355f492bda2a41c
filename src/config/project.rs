//! A project's `.lclaude.toml`: finding it, reading it, and checking which of its settings require trust.
//!
//! The file may come from an untrusted repository, so reading it follows no symlink and never blocks, and the same
//! bytes are hashed, shown and parsed.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{
    file,
    keys::{quote_key, shorten},
    settings::Settings,
    source::Source,
    trust::{Pin, TrustList, TrustState},
};
use crate::base::{
    environment::Environment,
    error::{Code, Failure, Result},
    pattern::is_gguf,
    ui,
};

pub(crate) const FILE_NAME: &str = ".lclaude.toml";

/// The keys that an untrusted file may set, which only select among what the user already has.
const ALLOWED_UNTRUSTED: &[&str] =
    &["backend", "model", "models", "context", "lean", "throwaway", "profile", "claude.tools"];

/// Longest model name, in bytes.
const MAX_NAME: usize = 256;

/// A project file as it was read.
#[derive(Debug)]
pub(crate) struct Project {
    pub path: PathBuf,
    pub text: String,
    /// What trust in it is pinned to.
    pub pin: Pin,
    pub standing: TrustState,
}

/// One setting in a project file.
pub(crate) struct ProjectSetting {
    /// The dotted key.
    pub key: String,
    /// The exact value, on one line.
    pub value: String,
    /// Why the setting requires trust, or `None` if it doesn't.
    pub needs_word: Option<&'static str>,
}

impl Project {
    /// Reads the nearest file in `here` or a directory above it.
    ///
    /// # Errors
    /// `Refused` if it isn't a small regular file, `Config` if it can't be read.
    pub(crate) fn find(environment: &Environment) -> Result<Option<Self>> {
        match locate(environment)? {
            Some(path) => Self::read(path, &TrustList::new(&environment.places.state)),
            None => Ok(None),
        }
    }

    /// Reads the file at `path`, which must be canonical. Returns `None` without such a file.
    pub(crate) fn read(path: PathBuf, store: &TrustList) -> Result<Option<Self>> {
        let Some((bytes, owner)) = read(&path)? else {
            return Ok(None);
        };
        let pin = Pin::of(&bytes, owner);
        let text = file::decode(bytes, &path)?;
        let standing = store.standing(&path, &pin)?;
        Ok(Some(Project { path, text, pin, standing }))
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.standing == TrustState::Trusted
    }

    /// Returns all its settings.
    ///
    /// # Errors
    /// `Config` if the file is malformed or has unknown keys.
    pub(crate) fn asks(&self) -> Result<Vec<ProjectSetting>> {
        Ok(list_settings(&self.table()?))
    }

    /// Returns its table, to be merged.
    ///
    /// # Errors
    /// `Config` if it is malformed, `Refused` if it is untrusted and contains settings that require trust.
    pub(super) fn layer(&self) -> Result<Table> {
        let table = self.table()?;
        if self.is_trusted() {
            return Ok(table);
        }
        let mut restricted = list_settings(&table);
        restricted.retain(|setting| setting.needs_word.is_some());
        if restricted.is_empty() { Ok(table) } else { Err(self.untrusted(&restricted)) }
    }

    fn table(&self) -> Result<Table> {
        parse(&self.text, &self.path)
    }

    fn untrusted(&self, restricted: &[ProjectSetting]) -> Failure {
        let keys: Vec<String> = restricted
            .iter()
            .map(|setting| match setting.key.as_str() {
                // The key is allowed, so only its value explains the refusal.
                key if ALLOWED_UNTRUSTED.contains(&key) || key.starts_with("models.") => {
                    let value = shorten(setting.value.clone());
                    format!("{key} = {value} ({})", setting.needs_word.unwrap_or_default())
                }
                key => key.to_owned(),
            })
            .collect();
        let changed = match self.standing {
            TrustState::Changed => "it has changed since you trusted it; ",
            TrustState::OwnerChanged => "its owner has changed since you trusted it; ",
            TrustState::Unknown | TrustState::Trusted => "",
        };
        Failure::new(Code::Refused, format!("{} contains settings that require trust", self.path.display()))
            .cause(format!("{changed}{} could run programs, load files or send your code elsewhere", keys.join(", ")))
            .help("lclaude local trust")
    }
}

/// Parses the text of a project file and checks its keys and values.
///
/// # Errors
/// `Config` if it is malformed, or has unknown keys or profiles.
pub(super) fn parse(text: &str, path: &Path) -> Result<Table> {
    let table = file::parse(text, path)?;
    if table.contains_key("profiles") {
        return Err(Failure::new(Code::Config, format!("[profiles] is not allowed in {}", path.display()))
            .cause("a project file can only select one of your own profiles, with profile = \"NAME\"")
            .help("move [profiles] to ~/.config/lclaude/config.toml"));
    }
    Ok(table)
}

/// Returns the nearest file in `here` or above it, up to the root of the repository. It may be of any file type.
pub(crate) fn locate(environment: &Environment) -> Result<Option<PathBuf>> {
    let directories = directories(environment.working_dir()?, environment.home()).into_iter();
    Ok(directories.map(|directory| directory.join(FILE_NAME)).find(|file| file.symlink_metadata().is_ok()))
}

/// Returns the directory that the project file belongs in, or `None` in the home directory, which is never a project.
pub(crate) fn root(environment: &Environment) -> Result<Option<PathBuf>> {
    Ok(directories(environment.working_dir()?, environment.home()).pop().map(Path::to_owned))
}

/// Returns the directories to search, nearest first: from `here` up to the one with a `.git` (a file in a worktree or
/// submodule), or only `here` outside of one. The search stops below the home directory, which may itself be in git.
fn directories<'a>(here: &'a Path, home: &Path) -> Vec<&'a Path> {
    let home = home.canonicalize().unwrap_or_else(|_| home.to_owned());
    let mut directories: Vec<&Path> = here.ancestors().take_while(|directory| **directory != home).collect();
    let root = directories.iter().position(|directory| directory.join(".git").symlink_metadata().is_ok());
    directories.truncate(root.unwrap_or(0) + 1);
    directories
}

/// Reads a regular file and returns its bytes and the user ID of its owner. All checks use the descriptor that is then
/// read. The owner may be anyone: in a bind mount, a container or with sudo it is rarely the user.
fn read(path: &Path) -> Result<Option<(Vec<u8>, u32)>> {
    let unreadable = |error: io::Error| {
        Failure::new(Code::Config, format!("{} cannot be read", path.display()))
            .cause(error)
            .help(format!("chmod u+r {}", ui::quote_path(path)))
    };
    let unsuitable = |why: &str| {
        Failure::new(Code::Refused, format!("refusing to use {}", path.display()))
            .cause(why)
            .help(format!("ls -ld {}", ui::quote_path(path)))
            .help(format!("mv {0} {0}.old", ui::quote_path(path)))
    };
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(unsuitable("it is a symlink"));
        }
        // A socket can't be opened.
        Err(_) if path.symlink_metadata().is_ok_and(|meta| !meta.is_file()) => {
            return Err(unsuitable("it is not a regular file"));
        }
        Err(error) => return Err(unreadable(error)),
    };
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err(unsuitable("it is not a regular file"));
    }
    let too_long = || unsuitable("it is larger than 1 MiB");
    if meta.len() > file::MAX_FILE {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    file.take(file::MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    // The file may have grown since the check.
    if bytes.len() as u64 > file::MAX_FILE {
        return Err(too_long());
    }
    Ok(Some((bytes, meta.uid())))
}

fn list_settings(table: &Table) -> Vec<ProjectSetting> {
    let mut found = Vec::new();
    collect(table, "", &mut found);
    // Settings that require trust come last, where they stay visible.
    found.sort_by_key(|setting| setting.needs_word.is_some());
    found
}

/// Walks the tables instead of splitting keys at dots, since a quoted key may contain dots.
fn collect(table: &Table, prefix: &str, found: &mut Vec<ProjectSetting>) {
    for (key, value) in table {
        let name = format!("{prefix}{}", quote_key(key));
        match value {
            Value::Table(inner) => collect(inner, &format!("{name}."), found),
            value => {
                found.push(ProjectSetting { needs_word: trust_reason(&name, value), key: name, value: to_line(value) });
            }
        }
    }
}

fn first_part(key: &str) -> &str {
    key.split('.').next().unwrap_or(key)
}

/// Returns why a setting requires trust, or `None` if it doesn't.
fn trust_reason(key: &str, value: &Value) -> Option<&'static str> {
    let first = first_part(key);
    match (first, value.as_str()) {
        ("model" | "models", Some(name)) => invalid_name_reason(name),
        _ if ALLOWED_UNTRUSTED.contains(&first) || ALLOWED_UNTRUSTED.contains(&key) => None,
        _ => Some("requires trust"),
    }
}

/// Returns why `name` can't be a plain model name, or `None` if it can.
pub(crate) fn invalid_name_reason(name: &str) -> Option<&'static str> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._:/-".contains(c);
    if name.len() > MAX_NAME {
        return Some("too long for a name");
    }
    if name.starts_with('-') {
        return Some("an option");
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(is_allowed) {
        return Some(if name.contains('/') { "a path" } else { "not a name" });
    }
    let host = name.split_once('/').map(|(host, _)| host);
    if host.is_some_and(|host| host.contains(['.', ':']) || host.eq_ignore_ascii_case("localhost")) {
        return Some("on another host");
    }
    let is_path = name.split('/').any(|part| matches!(part, "" | "." | ".."));
    (is_path || is_gguf(name)).then_some("a path")
}

/// Returns the value as JSON, which looks much like TOML but always fits on one line.
fn to_line(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| format!("{value:?}"))
}

/// Checks the project file against the merged settings. `user_table`: the user's configuration file.
///
/// # Errors
/// `Config` for a backend that the user hasn't configured, `Refused` for an untrusted model name that would be passed
/// to the user's `[command]`.
pub(super) fn check(settings: &Settings, user_table: &Table) -> Result<()> {
    let Some(kind) = settings.backend else {
        return Ok(());
    };
    let source = settings.source("backend");
    if matches!(source, Source::Project(_)) && !settings.describes(kind) {
        return Err(Failure::new(Code::Config, format!("{source} selects backend {kind}, which is not configured"))
            .cause(format!("your own configuration has no [{kind}] table"))
            .help(format!("add [{kind}] to your own configuration"))
            .help("lclaude --backend ollama"));
    }
    // A server that accepts any name may download that model or load a directory of that name.
    let unknown = settings.model_names().find(|(key, name)| {
        kind.loads_any_name()
            && settings.is_untrusted(key)
            && !user_models(user_table).iter().any(|model| model == name)
    });
    match unknown {
        None => Ok(()),
        Some((key, name)) => Err(Failure::new(Code::Refused, format!("model {name} is not in your own configuration"))
            .cause(format!(
                "{} sets {key}, and your [command] might download or load any model it is given",
                settings.source(key)
            ))
            .help("lclaude local trust")
            .help(format!("lclaude --model {name}"))),
    }
}

/// Returns every model that the user's own file names, including its profiles.
fn user_models(user_table: &Table) -> Vec<&str> {
    let profiles = user_table.get("profiles").and_then(Value::as_table);
    let tables =
        std::iter::once(user_table).chain(profiles.into_iter().flat_map(Table::values).filter_map(Value::as_table));
    let mut names = Vec::new();
    for table in tables {
        names.extend(table.get("model").and_then(Value::as_str));
        let tiers = table.get("models").and_then(Value::as_table);
        names.extend(tiers.into_iter().flat_map(Table::values).filter_map(Value::as_str));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn model_name_is_not_an_option_a_path_or_on_another_host() {
        for name in ["qwen3:4b", "glm-4.7-flash", "me/coder:30b", "unsloth/Qwen3-4B-GGUF:Q4_K_M", "a.b", "glm:cloud"] {
            assert_eq!(invalid_name_reason(name), None, "{name}");
        }
        for (name, why) in [
            ("-m", "an option"),
            ("--host=0.0.0.0", "an option"),
            ("/etc/passwd", "a path"),
            ("~/x", "a path"),
            ("./x", "a path"),
            ("a/../../x", "a path"),
            ("a//b", "a path"),
            ("weights/", "a path"),
            ("evil.gguf", "a path"),
            ("evil.GGUF", "a path"),
            ("hf.co/a/b", "on another host"),
            ("HuggingFace.co/a/b", "on another host"),
            ("host:5000/a", "on another host"),
            ("LOCALHOST/a", "on another host"),
            ("https://x/y", "on another host"),
            ("", "not a name"),
            ("a b", "not a name"),
            ("a\u{1b}[31m", "not a name"),
            ("é", "not a name"),
            (&"a".repeat(257), "too long for a name"),
        ] {
            assert_eq!(invalid_name_reason(name), Some(why), "{name}");
        }
    }

    #[test]
    fn only_allowed_keys_need_no_trust() {
        let restricted = |text: &str| -> Vec<String> {
            let settings = list_settings(&text.parse().expect("the test's own TOML"));
            settings.into_iter().filter(|setting| setting.needs_word.is_some()).map(|setting| setting.key).collect()
        };
        assert!(
            restricted("backend='ollama'\nmodel='a'\ncontext=1\nlean=true\nthrowaway=true\nprofile='p'").is_empty()
        );
        assert!(restricted("[models]\nopus='a'\nhaiku='b/c'\n[claude]\n").is_empty());
        assert_eq!(restricted("[models]\nopus='/a'\nhaiku='b'"), ["models.opus"]);
        assert_eq!(restricted("\"models.opus\" = 'x'"), ["\"models.opus\""]);
        let is_allowed = |key: &str| ALLOWED_UNTRUSTED.contains(&key) || ALLOWED_UNTRUSTED.contains(&first_part(key));
        for key in keys::all().filter(|key| !is_allowed(key)) {
            let key = key.replace('*', "X");
            assert_eq!(restricted(&format!("{key} = 'x'")), [key]);
        }
    }

    #[test]
    fn line_breaks_in_keys_and_values_are_escaped() {
        let settings = list_settings(&"claude.env.\"A\\nB\" = \"\"\"\nmodel = 'x'\u{85}\"\"\"".parse().expect("TOML"));
        let ProjectSetting { key, value, .. } = &settings[0];
        assert!(!key.contains('\n') && !value.contains('\n'), "{key} {value}");
    }
}
