//! A project's `.lclaude.toml`: where it is, its bytes, and what it may say without the user's word.
//!
//! It came with somebody's repository, so nothing here follows a link, waits, or believes a second look: the bytes that
//! were read are the ones that are hashed, shown and parsed.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use toml::{Table, Value};

use super::{
    file,
    keys::{as_key, shortened},
    settings::Settings,
    source::Source,
    trust::{Standing, Store},
};
use crate::base::{
    environment::Environment,
    error::{Code, Failure, Result},
};

pub const NAME: &str = ".lclaude.toml";

/// What a file may say without the user's word: a choice among what the user has already.
const ALWAYS: &[&str] = &["backend", "model", "models", "context", "lean", "throwaway", "profile"];

/// No model's name is longer, in bytes.
const LONGEST_NAME: usize = 256;

/// A project's file, read once.
#[derive(Debug)]
pub struct Project {
    pub path: PathBuf,
    pub text: String,
    /// SHA-256 of its bytes, in hex.
    pub hash: String,
    pub standing: Standing,
}

/// One value that a file asks for.
pub struct Ask {
    /// Dotted, as in messages.
    pub key: String,
    /// On one line, to the letter.
    pub value: String,
    /// Why it needs the user's word, where it does.
    pub needs_word: Option<&'static str>,
}

impl Project {
    /// The nearest file from `here` up, as it is now.
    ///
    /// # Errors
    /// `Refused` for one that is not a regular file of the user's own, `Config` for one that cannot be read.
    pub fn find(environment: &Environment) -> Result<Option<Self>> {
        match locate(environment)? {
            Some(path) => Self::read(path, &Store::new(&environment.places.state)),
            None => Ok(None),
        }
    }

    /// The file at `path`, which is canonical; `None` when there is none.
    pub fn read(path: PathBuf, store: &Store) -> Result<Option<Self>> {
        let Some(bytes) = read(&path)? else {
            return Ok(None);
        };
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let text = file::text(bytes, &path)?;
        let standing = store.standing(&path, &hash)?;
        Ok(Some(Project { path, text, hash, standing }))
    }

    pub fn is_trusted(&self) -> bool {
        self.standing == Standing::Trusted
    }

    /// All that it asks for.
    ///
    /// # Errors
    /// `Config` for what no configuration may say.
    pub fn asks(&self) -> Result<Vec<Ask>> {
        Ok(asks(&self.table()?))
    }

    /// As a layer of the settings.
    ///
    /// # Errors
    /// `Config` when it is malformed, `Refused` when it asks for what needs the user's word and does not have it.
    pub(super) fn layer(&self) -> Result<Table> {
        let table = self.table()?;
        if self.is_trusted() {
            return Ok(table);
        }
        let mut needing = asks(&table);
        needing.retain(|ask| ask.needs_word.is_some());
        if needing.is_empty() { Ok(table) } else { Err(self.untrusted(&needing)) }
    }

    fn table(&self) -> Result<Table> {
        let table = file::parse(&self.text, &self.path)?;
        if table.contains_key("profiles") {
            return Err(Failure::new(Code::Config, format!("{} cannot have [profiles]", self.path.display()))
                .why("profiles are your own; a project's file can only choose one, with profile = \"NAME\"")
                .help("move them into ~/.config/lclaude/config.toml"));
        }
        Ok(table)
    }

    fn untrusted(&self, needing: &[Ask]) -> Failure {
        let keys: Vec<String> = needing
            .iter()
            .map(|ask| match ask.key.as_str() {
                // The key alone would be allowed.
                key if ALWAYS.contains(&key) || key.starts_with("models.") => {
                    let value = shortened(ask.value.clone());
                    format!("{key} = {value} ({})", ask.needs_word.unwrap_or_default())
                }
                key => key.to_owned(),
            })
            .collect();
        let changed = if self.standing == Standing::Changed { "it has changed since you trusted it: " } else { "" };
        Failure::new(Code::Refused, format!("{} asks for what needs your word", self.path.display()))
            .why(format!("{changed}{} could run programs, load files or send your code elsewhere", keys.join(", ")))
            .help("lclaude local trust shows all that it asks for, and allows it if you say so")
    }
}

/// The nearest file from `here` up to the root of the repository, whatever kind of file it is.
pub fn locate(environment: &Environment) -> Result<Option<PathBuf>> {
    let directories = directories(environment.working_dir()?, environment.home()).into_iter();
    Ok(directories.map(|directory| directory.join(NAME)).find(|file| file.symlink_metadata().is_ok()))
}

/// The directory that a project's file belongs in; `None` in the home directory, which is never a project.
pub fn root(environment: &Environment) -> Result<Option<PathBuf>> {
    Ok(directories(environment.working_dir()?, environment.home()).pop().map(Path::to_owned))
}

/// Those that a file is looked for in, the nearest first: up to the one with a `.git`, which is a file in a worktree and
/// a submodule; without any only `here`. What the home directory is kept in (some have it in git) is no project either.
fn directories<'a>(here: &'a Path, home: &Path) -> Vec<&'a Path> {
    let home = home.canonicalize().unwrap_or_else(|_| home.to_owned());
    let mut directories: Vec<&Path> = here.ancestors().take_while(|directory| **directory != home).collect();
    let root = directories.iter().position(|directory| directory.join(".git").symlink_metadata().is_ok());
    directories.truncate(root.unwrap_or(0) + 1);
    directories
}

/// The bytes of a regular file of the user's own; all is asked of the one descriptor that is then read.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let refused = |why: String, help: String| {
        Failure::new(Code::Refused, format!("{} is not used", path.display())).why(why).help(help)
    };
    let unreadable = |error: io::Error| {
        Failure::new(Code::Config, format!("{} cannot be read", path.display()))
            .why(error)
            .help(format!("ls -l {0}; chmod u+r {0}", path.display()))
    };
    let look = || format!("ls -l {0}, and remove it: rm {0}", path.display());
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(refused("it is a symlink, and could lead anywhere".into(), look()));
        }
        Err(error) => return Err(unreadable(error)),
    };
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err(refused("it is not a regular file".into(), look()));
    }
    let user = rustix::process::geteuid().as_raw();
    if meta.uid() != user {
        return Err(refused(
            format!("it belongs to uid {}, and you are uid {user}", meta.uid()),
            format!("if you want it all the same: sudo chown {user} {}", path.display()),
        ));
    }
    let too_long = || refused("it is over 1 MiB long, and no configuration is".into(), look());
    if meta.len() > file::LONGEST_FILE {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    file.take(file::LONGEST_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    // It may have grown meanwhile.
    if bytes.len() as u64 > file::LONGEST_FILE {
        return Err(too_long());
    }
    Ok(Some(bytes))
}

fn asks(table: &Table) -> Vec<Ask> {
    let mut found = Vec::new();
    collect(table, "", &mut found);
    // Last, where they stay in sight.
    found.sort_by_key(|ask| ask.needs_word.is_some());
    found
}

/// Goes by the structure, not by names with dots in them: a quoted key may have those too.
fn collect(table: &Table, prefix: &str, found: &mut Vec<Ask>) {
    for (key, value) in table {
        let name = format!("{prefix}{}", as_key(key));
        match value {
            Value::Table(inner) => collect(inner, &format!("{name}."), found),
            value => found.push(Ask { needs_word: needs_word(&name, value), key: name, value: as_value(value) }),
        }
    }
}

fn needs_word(key: &str, value: &Value) -> Option<&'static str> {
    let first = key.split('.').next().unwrap_or(key);
    match (first, value.as_str()) {
        ("model" | "models", Some(name)) => more_than_a_name(name),
        _ if ALWAYS.contains(&first) => None,
        _ => Some("not a choice among what you have"),
    }
}

/// Why a model's name is more than one, if it is.
pub fn more_than_a_name(name: &str) -> Option<&'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:/-".contains(c);
    if name.len() > LONGEST_NAME {
        return Some("too long for a name");
    }
    if name.starts_with('-') {
        return Some("an option");
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(plain) {
        return Some(if name.contains('/') { "a path" } else { "not a name" });
    }
    let host = name.split_once('/').map(|(host, _)| host);
    if host.is_some_and(|host| host.contains(['.', ':']) || host.eq_ignore_ascii_case("localhost")) {
        return Some("another host's");
    }
    let is_path = name.split('/').any(|part| matches!(part, "" | "." | ".."));
    (is_path || name.to_ascii_lowercase().ends_with(".gguf")).then_some("a path")
}

/// As JSON, which TOML is much like, since that has no line ends in it.
fn as_value(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| format!("{value:?}"))
}

/// What only the settings as a whole can tell about a project's file. `own`: the user's file.
///
/// # Errors
/// `Config` for a backend that the user has not described, `Refused` for a model that a command would be given.
pub(super) fn check(settings: &Settings, own: &Table) -> Result<()> {
    let Some(kind) = settings.backend else {
        return Ok(());
    };
    let source = settings.source("backend");
    if matches!(source, Source::Project(_)) && !settings.describes(kind) {
        return Err(Failure::new(Code::Config, format!("{source} asks for the backend {kind}, which you do not have"))
            .why(format!("your own configuration has no [{kind}]"))
            .help(format!("describe it in your own [{kind}], or choose another: lclaude --backend ollama")));
    }
    // A server that takes any name may download it, or load a directory of that name.
    let stranger = settings.model_names().find(|(key, name)| {
        kind.loads_any_name() && settings.is_untrusted(key) && !own_names(own).iter().any(|own| own == name)
    });
    match stranger {
        None => Ok(()),
        Some((key, name)) => Err(Failure::new(Code::Refused, format!("{name} is not a model of yours"))
            .why(format!(
                "{} sets {key}, and your [command] might fetch or load whatever it is given",
                settings.source(key)
            ))
            .help("lclaude local trust")
            .help(format!("or by your own word: lclaude --model {name}"))),
    }
}

/// Every model that the user's own file names, in profiles too.
fn own_names(own: &Table) -> Vec<&str> {
    let profiles = own.get("profiles").and_then(Value::as_table);
    let tables = std::iter::once(own).chain(profiles.into_iter().flat_map(Table::values).filter_map(Value::as_table));
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
    fn a_name_is_no_path_no_option_and_no_other_hosts() {
        for name in ["qwen3:4b", "glm-4.7-flash", "me/coder:30b", "unsloth/Qwen3-4B-GGUF:Q4_K_M", "a.b", "glm:cloud"] {
            assert_eq!(more_than_a_name(name), None, "{name}");
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
            ("hf.co/a/b", "another host's"),
            ("HuggingFace.co/a/b", "another host's"),
            ("host:5000/a", "another host's"),
            ("LOCALHOST/a", "another host's"),
            ("https://x/y", "another host's"),
            ("", "not a name"),
            ("a b", "not a name"),
            ("a\u{1b}[31m", "not a name"),
            ("é", "not a name"),
            (&"a".repeat(257), "too long for a name"),
        ] {
            assert_eq!(more_than_a_name(name), Some(why), "{name}");
        }
    }

    #[test]
    fn only_a_choice_among_what_the_user_has_needs_no_word() {
        let needing = |text: &str| -> Vec<String> {
            let asks = asks(&text.parse().expect("the test's own TOML"));
            asks.into_iter().filter(|ask| ask.needs_word.is_some()).map(|ask| ask.key).collect()
        };
        assert!(needing("backend='ollama'\nmodel='a'\ncontext=1\nlean=true\nthrowaway=true\nprofile='p'").is_empty());
        assert!(needing("[models]\nopus='a'\nhaiku='b/c'\n[claude]\n").is_empty());
        assert_eq!(needing("[models]\nopus='/a'\nhaiku='b'"), ["models.opus"]);
        assert_eq!(needing("\"models.opus\" = 'x'"), ["\"models.opus\""]);
        for key in keys::all().filter(|key| !ALWAYS.contains(&key.split('.').next().expect("a part"))) {
            let key = key.replace('*', "X");
            assert_eq!(needing(&format!("{key} = 'x'")), [key]);
        }
    }

    #[test]
    fn a_value_cannot_pretend_to_be_another_line() {
        let asks = asks(&"claude.env.\"A\\nB\" = \"\"\"\nmodel = 'x'\u{85}\"\"\"".parse().expect("TOML"));
        assert!(!asks[0].key.contains('\n') && !asks[0].value.contains('\n'), "{} {}", asks[0].key, asks[0].value);
    }
}
